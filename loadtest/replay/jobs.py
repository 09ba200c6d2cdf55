"""From a trace to what is asked: model, route and length of every request, settled before the first one leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadtest.replay.client import SESSION_HEADER, Sending
from loadtest.replay.contents import Contents, Vocabulary
from loadtest.replay.fitting import fitted, shortened
from loadtest.replay.routes.base import Asked, Route
from loadtest.replay.routes.chat import Chat
from loadtest.replay.routes.completions import Completions
from loadtest.replay.routes.transcription import Transcription
from loadtest.replay.target import SPEECH, TASKS, Model, Target
from loadtest.replay.tokenizer import ask_vocabulary
from loadtest.traces.trace import Trace, TraceRequest

TEXT_ROUTES: Mapping[str, Route] = {"completions": Completions(), "chat": Chat()}
"""Where text without pictures is asked, as the user names it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request as it is asked. `cut`: shorter than the trace, scaled, because of the model's context."""

    number: int
    request: TraceRequest
    model: Model
    route: Route
    cut: bool = False


@dataclass(frozen=True)
class Plan:
    """How requests are asked; see `python -m loadtest.replay --help`."""

    target: Target
    headers: Mapping[str, str]
    contents: Contents
    default_model: str | None = None
    text_route: str = "completions"
    scale: float = 1.0
    whole_answers: bool = True
    timeout_s: float = 600.0


class Workshop:
    """Makes jobs of a trace, and bodies of jobs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._vocabularies: dict[str, Vocabulary] = {}

    def jobs(self, trace: Trace) -> Iterator[Job]:
        """Raises TargetError where no model takes a request, TraceError where one cannot be made to fit."""
        for number, request in enumerate(trace.requests):
            model = self._plan.target.model_for(request, self._plan.default_model)
            route = self._route(request, model)
            short = shortened(request, self._plan.scale)
            fit = fitted(short, model.max_model_len, route.spare(model.max_model_len or 0))
            yield Job(number, fit, model, route, cut=fit != short)

    def sending(self, job: Job) -> Sending:
        """Takes milliseconds: not an event loop's work."""
        plan = self._plan
        asked = Asked(job.model.name, self._vocabulary(job.model), plan.whole_answers)
        session = {SESSION_HEADER: job.request.session} if job.request.session else {}
        return Sending(
            url=plan.target.url + job.route.path,
            headers={"Content-Type": job.route.content_type, **session, **plan.headers},
            body=job.route.body(job.request, job.number, asked, plan.contents),
            timeout_s=plan.timeout_s,
        )

    def _route(self, request: TraceRequest, model: Model) -> Route:
        if request.audio_s:
            return Transcription()
        if request.images or not self._vocabulary(model).token_ids:
            return TEXT_ROUTES["chat"]
        return TEXT_ROUTES[self._plan.text_route]

    def _vocabulary(self, model: Model) -> Vocabulary:
        """Asked once."""
        if model.name not in self._vocabularies:
            speech = model.task in TASKS[SPEECH]
            told = Vocabulary() if speech else ask_vocabulary(self._plan.target.url, model.name, self._plan.headers)
            self._vocabularies[model.name] = told
        return self._vocabularies[model.name]

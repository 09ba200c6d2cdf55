"""Which texts of engines' errors clients may read: a list of known forms. Anything else may name paths or addresses."""

from __future__ import annotations

import re

SLOTS = {
    "number": r"-?[0-9][0-9.,e+-]*",
    "name": r"[A-Za-z_][A-Za-z0-9_]{0,63}",
    "text": r".{1,300}",
    "rest": r".{0,300}",
}
"""What stands in a form in place of its `{number}`, `{name}`, `{text}` and `{rest}`."""

PASSED_ON = (
    # Lengths
    "This model's maximum context length is {number} tokens. However, {text}",
    "The {name} prompt (length {number}) {rest}is longer than the maximum model length of {number}.{rest}",
    "The {name} prompt cannot be empty",
    "{name}={number} cannot be greater than {name}={number}. {text}",
    "{name}={number} cannot be greater than {name} = {number}. {text}",
    "Input length ({number}) exceeds model's maximum context length ({number}).",
    "Either prompt or prompt_embeds must be provided and non-empty.",
    "You must pass at least one prompt",
    # Values of fields
    "{name} must be {text}",
    "{name} must contain {text}",
    "{name} cannot {text}",
    "{name} is not supported with {text}",
    "`{name}` must be {text}",
    "`{name}` must not be {text}",
    "`{name}` is not supported {text}",
    "`{name}` are not available when {text}",
    "when using `{name}`, `{name}` must be set{rest}",
    "When using `{name}`, `{name}` must be set{rest}",
    "Cannot set both {text}",
    "Cannot specify both {text}",
    "Only one of {text} can be set.",
    "Stream options can only be defined when `stream=True`.",
    "Streaming is not currently supported with beam search",
    "You can only use one kind of constraints for structured outputs {text}",
    "You can only either use constraints for structured outputs or tools, not both.",
    "When response_format type is 'json_schema', {text}",
    "Requested sample logprobs of {number}, which is greater than max allowed: {number}",
    "Requested prompt logprobs of {number}, which is greater than max allowed: {number}",
    "stop strings are only supported when {text}",
    # Token ids
    "token_id(s) {text} in {name} contain out-of-vocab token ids. Vocabulary size: {number}",
    "Token id {number} is out of vocabulary",
    "Token id is out of vocabulary{rest}",
    "allowed_token_ids is not None and empty!",
    "allowed_token_ids contains out-of-vocab token id!",
    "logit_bias contains key(s) that cannot be converted to integer token IDs: {text}",
    "The model vocabulary size is {number}, but the following tokens were specified as bad: {text}",
    # Structured outputs
    "Grammar error: {text}",
    "The JSON schema is nested too deeply: {text}",
    "Failed to transform json schema into a grammar: {text}",
    "Failed to transform regex into a grammar: {text}",
    "Failed to transform choices into a grammar: {text}",
    "Error parsing regex: {text}",
    # Tools and messages
    "`tools` must not be an empty array.{rest}",
    "Invalid value for `{name}`: {text}",
    "Expected field `name` in `function` in `tool_choice`!{rest}",
    "Invalid `name` in `function`: {text} in `tool_choice`!{rest}",
    "The tool specified in `tool_choice` does not match any of the specified `tools`",
    "Tool choice {text}",
    "chat completions only support assistant tool_calls of type 'function'.",
    "reasoning_effort={text} is not supported by Harmony.{rest}",
    "Harmony does not support reasoning_effort={text}",
    "Unsupported chat content part type: {text}",
    "Unsupported input item type: {text}",
    "Missing 'type' field in multimodal part.",
    "Invalid 'type' field in multimodal part.",
    # Media
    "Invalid or unsupported audio file.",
    "Maximum file size exceeded",
    "Maximum file size exceeded (parameter={name}, value={number})",
    "Can't process empty audio.",
    "Currently only support response_format: {text}",
    "Currently do not support verbose_json for {text}",
    "Currently do not support diarized_json for {text}",
    "{name} format doesn't support streaming case",
    # What a model does not offer
    "The model does not support {text}",
    "Response with id '{text}' not found.",
    # How a body is read
    "{number} validation error: {text}",
    "JSON decode error: {text}",
    "Unsupported Media Type: {text}",
    "Field required{rest}",
    "Input should {text}",
    "String should {text}",
    "List should {text}",
    "Dictionary should {text}",
    "Extra inputs are not permitted",
)
"""Forms that clients read as they are."""

SHORTENED = (
    "{name} must be at most {number}, got {number}. To increase this limit, {text}",
    "prompt list length {number} exceeds the maximum allowed count of {number}. {text}",
    "At most {number} {text} may be provided in one prompt.{rest}",
    "Image dimensions {text} exceed the maximum of {number} pixels. {text}",
    "Audio exceeds maximum allowed duration of {number}s {text}",
    "Invalid or corrupted audio data. {text}",
    "Invalid grammar specification.{rest}",
    "Invalid JSON grammar specification.{rest}",
    "Invalid structural tag specification.{rest}",
)
"""Forms of which clients read the first sentence: the others are for who starts the engine."""

NO_TOOLS = "this model takes no tools, because the fleet file sets no `tool_parser` for it"
BY_FLAGS = "the fleet file's `flags` of its pools would have to allow that"

REWRITTEN = (
    ('"auto" tool choice requires {text}', NO_TOOLS),
    ("tool_choice={text} requires {text} to be set", NO_TOOLS),
    (
        "thinking_token_budget is set but {text}",
        "`thinking_token_budget` needs a `reasoning_parser` of the model in the fleet file",
    ),
    ("Per-request {name} are disabled by default{rest}", f"requests may not change how media is read here; {BY_FLAGS}"),
    ("Chat template is passed with request, but {text}", f"requests may not bring a chat template here; {BY_FLAGS}"),
    ("You must set `--enable-{text}` to input `{name}`{rest}", f"embeddings are not taken as input here; {BY_FLAGS}"),
    ("Failed to load image: {text}", "an image cannot be read; send a whole PNG, JPEG or WebP"),
    ("The model `{text}` does not exist.{rest}", "no replica serves this model now; send the request again"),
    (
        "The provided JSON schema contains features not supported by xgrammar.",
        "the JSON schema has features that the model's server does not support; send a simpler one",
    ),
)
"""Forms -> what clients read instead: the fleet file's keys, not an engine's flags."""

LEAKS = (
    re.compile(r"(?<![\w<])/[\w.-]+/[\w.-]|[A-Za-z]:\\|~/|\.py\b|File \""),
    re.compile(r"://|\b\d{1,3}(?:\.\d{1,3}){3}\b|\blocalhost\b|\b[0-9a-f:]*::[0-9a-f]"),
    re.compile(r"(?<![\w-])--[a-z]|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"),
    re.compile(r"\bvllm\b|\btorch\b|\bray\b|enginecore|traceback|\b0x[0-9a-f]+|\w+Params\b|\w+Error\b", re.IGNORECASE),
)
"""What no client reads, whatever form it is in: paths; addresses; flags and environment variables; internal names."""

MOST_READ = 2000
"""Characters of a message that are compared with the forms: it may quote a client at length."""

VALIDATION = re.compile(r"\d+ validation errors?:\s")
FAULT = re.compile(
    r"""'loc':\ (?P<q>['"])(?P<place>.{0,200}?)(?P=q),\ 'msg':\ (?P<r>['"])(?P<told>.{0,500}?)(?P=r)(?:,\ '|\}|$)""",
    re.VERBOSE,
)
"""One fault of a body in vLLM's answer, which is Python's text of a dictionary."""

PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,99}")


def readable(message: str) -> str:
    """What a client may read of an engine's message; '' for nothing."""
    message = message[:MOST_READ].strip()
    if not VALIDATION.match(message) or (fault := FAULT.search(message)) is None:
        return _known(message)
    field, reason = readable_param(fault["place"]), _known(fault["told"].removeprefix("Value error, "))
    if field is None:
        return reason
    return f"`{field.removeprefix('body.')}`: {reason or 'it has a wrong type or value'}"


def readable_param(param: object) -> str | None:
    """The field at fault, where an engine names one that looks like a field."""
    return param if isinstance(param, str) and PARAM.fullmatch(param) and not _leaks(param) else None


def general(status: int, param: str | None = None) -> str:
    """A sentence for an error whose text is not passed on."""
    if status >= 500:
        return f"the engine failed with status {status}; send the request again"
    if status == 404:
        return "the engine answered with status 404: it does not know what the request names"
    because = f" because of `{param}`" if param else ""
    return f"the engine answered with status {status}: it refuses the request{because}; check the fields of its body"


def _known(message: str) -> str:
    for form, reading in _REWRITTEN:
        if form.fullmatch(message):
            return reading
    text = message
    if any(form.fullmatch(message) for form in _SHORTENED):
        text = message.split(". ", 1)[0]
    elif not any(form.fullmatch(message) for form in _PASSED_ON):
        return ""
    return "" if _leaks(text) else text


def _leaks(text: str) -> bool:
    return any(leak.search(text) for leak in LEAKS)


def _compiled(form: str) -> re.Pattern[str]:
    pattern = re.escape(form)
    for name, slot in SLOTS.items():
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?:{slot})")
    return re.compile(pattern)


_PASSED_ON = tuple(_compiled(form) for form in PASSED_ON)
_SHORTENED = tuple(_compiled(form) for form in SHORTENED)
_REWRITTEN = tuple((_compiled(form), reading) for form, reading in REWRITTEN)

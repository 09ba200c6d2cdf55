"""Asks an endpoint what its model's tokenizer makes of the words that prompts are filled with."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

from cluster.http_proxies import ProxyError, open_url
from loadtest.endpoint import TIMEOUT_S, TargetError
from loadtest.replay.contents import SAMPLE, Vocabulary


def ask_vocabulary(url: str, model: str, headers: Mapping[str, str]) -> Vocabulary:
    """What POST /tokenize tells, vLLM's route; a guess without token ids where there is none. Raises TargetError."""
    body = json.dumps({"model": model, "prompt": SAMPLE, "add_special_tokens": False}).encode()
    request = urllib.request.Request(
        f"{url}/tokenize", data=body, headers={"Content-Type": "application/json", **headers}
    )
    try:
        with open_url(request, TIMEOUT_S) as response:
            return Vocabulary.of([int(token) for token in json.load(response)["tokens"]])
    except urllib.error.HTTPError as error:
        if error.code < 500 or error.code == 501:
            return Vocabulary()
        raise TargetError(f"{url}/tokenize answers {error.code} {error.reason}") from None
    except ProxyError as error:
        raise TargetError(f"{url}/tokenize: {error}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{url}/tokenize gives no tokens for {model}: {error!r}") from None

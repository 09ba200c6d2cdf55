"""Prints pip's configuration as shell `export` lines for uv, which reads none of pip's files and variables.

Usage: eval "$(PYTHON scripts/uv_settings.py)", with a Python that has pip. Variables of uv that are set are kept.
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

SECTIONS = ("global", "install", ":env:")
"""Sections of pip's configuration that `pip install` reads; a later one takes precedence."""

VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "keyring-provider": ("UV_KEYRING_PROVIDER", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "cert": ("SSL_CERT_FILE", ""),
    "client-cert": ("SSL_CLIENT_CERT", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "retries": ("UV_HTTP_RETRIES", ""),
    "proxy": ("ALL_PROXY", ""),
}
"""pip's option -> uv's variable, and what separates several entries in it; an empty separator: one entry."""


def parse(listing: str) -> dict[str, str]:
    """Values by option, from the output of `pip config list`: lines of SECTION.OPTION='VALUE'."""
    sections: dict[str, dict[str, str]] = {name: {} for name in SECTIONS}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if separator and section in sections:
            sections[section][option] = ast.literal_eval(value)
    return {option: value for name in SECTIONS for option, value in sections[name].items()}


def uv_variables(options: Mapping[str, str]) -> dict[str, str]:
    """uv's variables for pip's options. pip separates entries by spaces or newlines."""
    variables = {"UV_SYSTEM_CERTS": "true"}
    for option, (variable, separator) in VARIABLES.items():
        value = options.get(option, "").strip()
        if value:
            variables[variable] = separator.join(value.split()) if separator else value
    if "UV_INDEX" in variables:
        # pip takes the best version of all indexes; uv, by default, takes the first index that has the package.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def main() -> None:
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name, value in uv_variables(parse(listing)).items():
        if name not in os.environ:
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()

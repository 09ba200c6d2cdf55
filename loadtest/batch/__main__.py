"""`python -m loadtest.batch --input FILE.jsonl --output DIR`: plain offline inference, resumable."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.option_types import COUNT, FLAG, POSITIVE
from loadtest import arguments as common
from loadtest.arguments import ForeignLoadArguments, ServerArguments
from loadtest.batch.run import Options, run
from loadtest.command import outcome
from loadtest.commands import BATCH


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BatchArguments:
    """The options of the command; those of the server are apart."""

    input: Annotated[Path, Parameter(help="The lines: FILE.jsonl or FILE.parquet.", metavar="FILE")]
    output: Annotated[Path, Parameter(help="Folder of output.jsonl and errors.jsonl.", metavar="DIR")]
    timeout: Annotated[float, POSITIVE, Parameter(help="Timeout of a request, in seconds.", metavar="S")] = 3600.0
    attempts: Annotated[int, COUNT, Parameter(help="Attempts for a line, retries included.", metavar="N")] = 5
    retry_failed: Annotated[bool, Parameter(help="Run the lines in errors.jsonl again."), FLAG] = False

    def options(self, server: ServerArguments, foreign: ForeignLoadArguments) -> Options:
        """All options of a batch."""
        return Options(
            source=self.input,
            output=self.output,
            fleet=server.fleet,
            endpoint=server.endpoint,
            api_key=server.api_key,
            model=server.model,
            timeout_s=self.timeout,
            attempts=self.attempts,
            retry_failed=self.retry_failed,
            foreign=foreign.load(),
        )


def batch(
    arguments: BatchArguments,
    server: ServerArguments = common.SERVER_DEFAULTS,
    foreign: ForeignLoadArguments = common.FOREIGN_DEFAULTS,
) -> int:
    """0: every line is answered; 1: some have failed; 2: it could not be run; 130: interrupted."""
    options = arguments.options(server, foreign)
    return outcome(lambda: run(options), "what was answered is kept; the same command goes on from there")


def main(arguments: Sequence[str]) -> int:
    return run_command(single(BATCH, batch), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

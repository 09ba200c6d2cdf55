"""The commands of this package, for `python -m loadtest.COMMAND` and for `mixfleet`."""

from __future__ import annotations

from cluster.command_line import Command

MLPERF, TRAFFIC, RESULTS, DATA = "Measure (MLPerf)", "Traffic and batches", "Results", "Data sets"

STARTED = (
    "Without --fleet and --endpoint it measures the running fleet; where none runs, it starts the embedded fleet and "
    "stops it afterwards."
)

OFFLINE = Command(
    "offline",
    "loadtest.offline:offline",
    MLPERF,
    "loadtest.offline",
    "Run one MLPerf Offline test with LoadGen, as a Ray Data job.\n\n"
    f"{STARTED} Exits with 1 where the result is INVALID.\n\n"
    "For example: mixfleet offline --benchmark whisper --quick",
)
SERVER = Command(
    "server",
    "loadtest.online.command:server",
    MLPERF,
    "loadtest.server",
    "Run one MLPerf Server test with LoadGen: queries arrive by its Poisson schedule, answers are streamed.\n\n"
    f"{STARTED} Exits with 1 where the result is INVALID.\n\n"
    "For example: mixfleet server --benchmark gpt-oss --target-qps 10",
)
INTERACTIVE = Command(
    "interactive",
    "loadtest.online.command:interactive",
    MLPERF,
    "loadtest.interactive",
    "Run one MLPerf Interactive test with LoadGen: the Server scenario with tighter latency limits.\n\n"
    f"{STARTED} Exits with 1 where the result is INVALID.\n\n"
    "For example: mixfleet interactive --benchmark gpt-oss --find-peak",
)
ACCURACY = Command(
    "accuracy",
    "loadtest.accuracy:accuracy",
    MLPERF,
    "loadtest.accuracy",
    "Score finished accuracy runs, or run an accuracy test and score it.\n\n"
    "Writes accuracy.txt, as the submission checker reads it, beside LoadGen's log. "
    "Exits with 1 where a run is below its threshold.\n\n"
    "For example: mixfleet accuracy --benchmark qwen3-vl --data catalogue/",
)
COMPLIANCE = Command(
    "compliance",
    "loadtest.compliance.__main__:compliance",
    MLPERF,
    "loadtest.compliance",
    "Run a compliance test of MLPerf and verify it: TEST01 for Whisper, TEST07 and TEST09 for GPT-OSS.\n\n"
    "Runs the benchmark by the test's audit.config and writes the verification files into the run's folder. "
    "Exits with 1 where the test fails.",
)
SUBMISSION = Command(
    "submission",
    "loadtest.submission.__main__:submission",
    MLPERF,
    "loadtest.submission",
    "Assemble a submission tree of MLPerf Inference from finished runs.\n\n"
    "Refuses whatever may not be submitted, each with its reason.\n\n"
    "For example: mixfleet submission --runs results/* --system system.json --submitter Us --division open --out tree",
)
SIMULATE = Command(
    "simulate",
    "loadtest.simulate:simulate",
    TRAFFIC,
    "loadtest.simulate",
    "Simulate fleets on virtual time behind the router that serves: every combination of the listed values.\n\n"
    "Cells that are finished already, with the same code, do not run again.\n\n"
    "For example: mixfleet simulate --trace shared-prefix --fleet mixed9 --policy all --load 0.8 1.2",
)
REPLAY = Command(
    "replay",
    "loadtest.replay.__main__:replay",
    TRAFFIC,
    "loadtest.replay",
    "Replay traces over HTTP in an open loop: requests leave at their times, however slow the answers are.\n\n"
    f"{STARTED} Exits with 1 where no request is answered.\n\n"
    "For example: mixfleet replay --trace shared-prefix:rate=5,count=200 --scale 0.1",
)
BATCH = Command(
    "batch",
    "loadtest.batch.__main__:batch",
    TRAFFIC,
    "loadtest.batch",
    "Run a file of OpenAI batch lines (custom_id, method, url, body), each exactly once.\n\n"
    "Writes output.jsonl and errors.jsonl in the order of the answers. The same command continues a batch that was "
    f"interrupted. {STARTED} Exits with 1 where a line failed.\n\n"
    "For example: mixfleet batch --input questions.jsonl --output answers/",
)
REPORT = Command(
    "report",
    "loadtest.report.__main__:report",
    RESULTS,
    "loadtest.report",
    "Print one table of the runs in these folders.\n\nFor example: mixfleet report results/",
)
COMPARE = Command(
    "compare",
    "loadtest.compare.__main__:compare",
    RESULTS,
    "loadtest.compare",
    "Compare runs side by side, and with published results of the same test.\n\n"
    "For example: mixfleet compare results/gpt-oss-server-* --out compare.html",
)
CHECK = Command(
    "data check",
    "loadtest.data.__main__:check",
    DATA,
    "loadtest.data check",
    "Check a data set against the official one, and print how to get the right one.\n\n"
    "Exits with 1 where something is wrong with it.",
)
REPACK = Command(
    "data repack-librispeech",
    "loadtest.data.__main__:repack_librispeech",
    DATA,
    "loadtest.data repack-librispeech",
    "Join LibriSpeech's utterances to MLCommons' clips.\n\nThe same command continues where it was interrupted.",
)
MAKE_SMALL = Command(
    "data make-small",
    "loadtest.data.__main__:small",
    DATA,
    "loadtest.data make-small",
    "Write a small data set in the official format, to rehearse a submission.",
)
PROMPT = Command(
    "data prompt",
    "loadtest.data.__main__:prompt",
    DATA,
    "loadtest.data prompt",
    "Write MLCommons' prompt for Qwen3-VL into the folder of its catalogue.",
)
DEMO = Command(
    "demo",
    "loadtest.demo:demo",
    TRAFFIC,
    "loadtest.demo",
    "Start the embedded fleet, send each model a request, and run MLPerf Offline on all three.",
)

DATA_HELP = "Check, complete and make data sets of MLPerf."
DATA_COMMANDS = (CHECK, REPACK, MAKE_SMALL, PROMPT)
COMMANDS = (
    *(OFFLINE, SERVER, INTERACTIVE, ACCURACY, COMPLIANCE, SUBMISSION),
    *(SIMULATE, REPLAY, BATCH, DEMO),
    *(REPORT, COMPARE),
)

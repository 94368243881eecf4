"""The hooks, the fixture and the mark; what they do stands in parity.py, which is imported when a test asks for it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .parity import Parity

__all__ = ["parity"]

MARK, CASE = "parity", "modelport_case"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--modelport-report and --modelport-update."""
    group = parser.getgroup("modelport", "parity of exported models")
    group.addoption("--modelport-report", metavar="DIR", default=None, help="write a report of every parity test into DIR")
    group.addoption("--modelport-update", action="store_true", help="write baselines that are missing or stale")


def pytest_configure(config: pytest.Config) -> None:
    """The mark; and, but for a worker of xdist, a listener that collects what was verified."""
    config.addinivalue_line(
        "markers",
        "parity(*formats, consumers='all', tolerance=None, **options): the function returns (model, sample); it becomes a test "
        "per format and consumer.",
    )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Listener(), "modelport-listener")


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Iterator[Parity]:
    """parity(model, sample=X).to("json", "onnx"): convert, verify in every consumer that can run here, and fail with the report.

    parity.baseline("models/iris.onnx", model=model, sample=X) does the same with an artifact that lies in the repository.
    """
    from .parity import Parity

    made = Parity(request.node)
    yield made
    made.finish()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A function with the mark becomes one test per format and consumer."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    from .parity import cases_of

    function = metafunc.definition
    nodes = [node for node, _ in function.iter_markers_with_node(MARK)]
    if nodes.count(nodes[0]) > 1:
        pytest.fail(
            f"{function.name} has the mark 'parity' more than once, of which only one would be heard: name all formats in one "
            "mark, or write a test for each.",
            pytrace=False,
        )
    marks: list[Any] = []
    if metafunc.config.pluginmanager.hasplugin("xdist") and function.get_closest_marker("xdist_group") is None:
        name = re.sub(r"\W+", "-", f"{metafunc.module.__name__}-{function.name}")
        marks.append(pytest.mark.xdist_group(name))  # with --dist loadgroup one process trains and converts the model
    cases = [pytest.param(case, id="-".join(case), marks=marks) for case in cases_of(mark)]
    metafunc.fixturenames.append(CASE)
    metafunc.parametrize(CASE, cases)


def _case(item: pytest.Item) -> tuple[str, str] | None:
    """The (format, consumer) of a test that the mark made."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(CASE)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A function that cannot become several tests must not pass unheard."""
    if item.get_closest_marker(MARK) is not None and _case(item) is None:
        pytest.fail(
            "The mark 'parity' is for a function, or a method of a plain class, that returns (model, sample); this is neither. "
            "Use the fixture 'parity'.",
            pytrace=False,
        )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that the mark made."""
    case = _case(pyfuncitem)
    if case is None:
        return None
    from .parity import run_case

    run_case(pyfuncitem, *case)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """What was verified travels with the report, from workers of xdist too, as plain values."""
    report = yield
    found = getattr(item, "modelport_outcomes", None)
    if found and call.when == "call":
        report.modelport = found
    if call.excinfo is not None:
        item.__dict__["modelport_interrupted"] = True  # a failure or a skip says for itself why nothing was verified
    return report


class Listener:
    """Collects what was verified, and says it at the end."""

    def __init__(self) -> None:
        self.outcomes: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has ended, here or in a worker."""
        self.outcomes += getattr(report, "modelport", ())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line per thing worth knowing, and the summary of a GitHub workflow's step."""
        if not self.outcomes:
            return
        from .parity import summary_lines

        terminalreporter.section("modelport", sep="-")
        for line in summary_lines(self.outcomes):
            terminalreporter.line(line)

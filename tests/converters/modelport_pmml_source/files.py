# ruff: noqa: E501 - an element stays on its line
"""PMML files as the specification and its writers shape them, each with rows that lie on its boundaries.

A `File` is a name, the file, and columns of rows; the answers are those of JPMML-Evaluator (test_scorers.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.converters.modelport_pmml.common import document, schema

NAN = float("nan")
GRID = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.25, NAN]


@dataclass(frozen=True)
class File:
    """A file and rows for it; `refused` are columns of which every row is refused by the scorer and by us."""

    name: str
    data: bytes
    rows: dict[str, list[Any]]
    refused: dict[str, list[Any]] = field(default_factory=dict)


def number(name: str, inside: str = "", kind: str = "double") -> str:
    return f'<DataField name="{name}" optype="continuous" dataType="{kind}">{inside}</DataField>'


def text(name: str, *values: str) -> str:
    listed = "".join(f'<Value value="{v}"/>' for v in values)
    return f'<DataField name="{name}" optype="categorical" dataType="string">{listed}</DataField>'


def mining(name: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<MiningField name="{name}"{said}/>'


def field_file(data: str, treated: str, kind: str = "x") -> bytes:
    """y = 1 + 2 x, after a field's treatment."""
    table = f'<RegressionTable intercept="1"><NumericPredictor name="{kind}" coefficient="2"/></RegressionTable>'
    target = '<MiningField name="y" usageType="target"/>'
    model = f'<RegressionModel functionName="regression"><MiningSchema>{treated}{target}</MiningSchema>{table}</RegressionModel>'
    return document(data + number("y"), model)


INTERVAL = '<Interval closure="closedOpen" leftMargin="0" rightMargin="2.5"/>'
LISTED = '<Value value="1"/><Value value="2"/><Value value="-99" property="missing"/><Value value="3" property="invalid"/>'


def fields() -> list[File]:
    """Treatments of missing, invalid and outlying values."""
    inside = [0.0, 1.0, 2.0, 2.4999999999999996, NAN]
    outside = [-1e-300, 2.5, 7.0]
    found = [
        File("replaced", field_file(number("x"), mining("x", missingValueReplacement="1.5", missingValueTreatment="asMean")), {"x": GRID}),
        File("missing-refused", field_file(number("x"), mining("x", missingValueTreatment="returnInvalid")), {"x": GRID[:-1]}, {"x": [NAN]}),
        File("interval-refused", field_file(number("x", INTERVAL), mining("x")), {"x": inside}, {"x": outside}),
        File("interval-missing", field_file(number("x", INTERVAL), mining("x", invalidValueTreatment="asMissing", missingValueReplacement="9")), {"x": inside + outside}),
        File("interval-as-is", field_file(number("x", INTERVAL), mining("x", invalidValueTreatment="asIs")), {"x": inside + outside}),
        File("interval-as-value", field_file(number("x", INTERVAL), mining("x", invalidValueTreatment="asValue", invalidValueReplacement="0.25")), {"x": inside + outside}),
        File("listed", field_file(number("x", LISTED), mining("x", missingValueReplacement="7")), {"x": [1.0, 2.0, -99.0, NAN]}, {"x": [3.0]}),
        File("extreme", field_file(number("x"), mining("x", outliers="asExtremeValues", lowValue="-0.5", highValue="2.5")), {"x": GRID}),
        File("outliers-missing", field_file(number("x"), mining("x", outliers="asMissingValues", lowValue="-0.5", highValue="2.5", missingValueReplacement="1")), {"x": GRID}),
        File("whole", field_file(number("x", kind="integer"), mining("x")), {"x": [0.0, -7.0, 12.0, NAN]}, {"x": [0.5, -1.25]}),
        File("single", field_file(number("x", kind="float"), mining("x")), {"x": [0.1, 1 / 3, 16777217.0, -2.5, NAN]}),
    ]  # fmt: skip
    words = text("s", "a", "b") + number("y")
    for name, how, rows, refused in (
        ("word-refused", {}, ["a", "b", None], ["c", ""]),
        ("word-missing", {"invalidValueTreatment": "asMissing", "missingValueReplacement": "b"}, ["a", "b", None, "c"], []),
        ("word-as-is", {"invalidValueTreatment": "asIs"}, ["a", "b", None, "c", ""], []),
        ("word-as-value", {"invalidValueTreatment": "asValue", "invalidValueReplacement": "a"}, ["a", "b", None, "c"], []),
    ):
        table = (
            '<RegressionTable intercept="1"><CategoricalPredictor name="s" value="a" coefficient="2.5"/>'
            '<CategoricalPredictor name="s" value="c" coefficient="-4"/></RegressionTable>'
        )
        target = '<MiningField name="y" usageType="target"/>'
        model = f'<RegressionModel functionName="regression"><MiningSchema>{mining("s", **how)}{target}</MiningSchema>{table}</RegressionModel>'
        found.append(File(name, document(words, model), {"s": rows}, {"s": refused} if refused else {}))
    return found


# --- trees ----------------------------------------------------------------------------------------------------------------------


def simple(name: str, operator: str, value: object = None) -> str:
    said = "" if value is None else f' value="{value}"'
    return f'<SimplePredicate field="{name}" operator="{operator}"{said}/>'


def compound(operator: str, *parts: str) -> str:
    return f'<CompoundPredicate booleanOperator="{operator}">{"".join(parts)}</CompoundPredicate>'


def among(name: str, *values: str, operator: str = "isIn") -> str:
    spelled = " ".join(values)
    return (
        f'<SimpleSetPredicate field="{name}" booleanOperator="{operator}"><Array type="string" n="{len(values)}">{spelled}</Array>'
        "</SimpleSetPredicate>"
    )


def node(score: object, predicate: str, *children: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<Node score="{score}"{said}>{predicate}{"".join(children)}</Node>'


def tree(body: str, fields_: str = "", names: tuple[str, ...] = ("x", "z"), kind: str = "regression", **attributes: str) -> bytes:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    data = fields_ or number("x") + number("z") + number("y")
    return document(data, f'<TreeModel functionName="{kind}"{said}>{schema(*names, target="y")}{body}</TreeModel>')


PAIRS = {"x": [v for v in (0.0, 1.0, 2.0, NAN) for _ in range(4)], "z": [0.0, 1.0, 2.0, NAN] * 4}


def trees() -> list[File]:
    found = []
    for operator in ("and", "or", "xor", "surrogate"):
        for strategy in ("none", "defaultChild", "nullPrediction", "lastPrediction"):
            for end in ("returnNullPrediction", "returnLastPrediction"):
                parts = [simple("x", "lessThan", 1), simple("z", "greaterOrEqual", 1)]
                if operator in ("and", "or"):
                    parts.append(simple("x", "notEqual", 2))
                first = node(1, compound(operator, *parts), id="a")
                second = node(2, simple("z", "lessOrEqual", 1), id="b")
                root = node(0, "<True/>", first, second, id="r", defaultChild="b")
                name = f"tree-{operator}-{strategy}-{end}"
                found.append(File(name, tree(root, missingValueStrategy=strategy, noTrueChildStrategy=end), PAIRS))
    words = text("s", "a", "b", "c d") + number("z") + number("y")
    root = node(
        0,
        "<True/>",
        node(
            1,
            among("s", "a", '"c d"').replace('"c d"', "&quot;c d&quot;"),
            node(4, simple("z", "isMissing")),
            node(5, simple("z", "equal", 1)),
        ),
        node(2, among("s", "a", operator="isNotIn")),
    )
    rows = {"s": [v for v in ("a", "b", "c d", None) for _ in range(3)], "z": [0.0, 1.0, NAN] * 4}
    for end in ("returnNullPrediction", "returnLastPrediction"):
        found.append(File(f"tree-words-{end}", tree(root, words, ("s", "z"), noTrueChildStrategy=end), rows))
    counts = '<ScoreDistribution value="yes" recordCount="3"/><ScoreDistribution value="no" recordCount="1"/>'
    shares = '<ScoreDistribution value="yes" recordCount="1" probability="0.2"/><ScoreDistribution value="no" recordCount="4" probability="0.8"/>'
    output = (
        '<Output><OutputField name="p(yes)" feature="probability" value="yes" optype="continuous" dataType="double"/>'
        '<OutputField name="best" feature="probability" optype="continuous" dataType="double"/>'
        '<OutputField name="said" feature="predictedValue" optype="categorical" dataType="string"/></Output>'
    )
    root = node(
        "yes",
        "<True/>" + counts,
        node("yes", simple("x", "lessThan", 1) + counts),
        node("no", simple("x", "greaterOrEqual", 1) + shares),
    )
    model = f'<TreeModel functionName="classification" splitCharacteristic="binarySplit" missingValueStrategy="lastPrediction">{schema("x", target="y")}{output}{root}</TreeModel>'
    found.append(File("tree-classes", document(number("x") + text("y", "no", "yes"), model), {"x": GRID}))
    return found


# --- regressions ----------------------------------------------------------------------------------------------------------------


def table(intercept: float, weight: float, category: str = "", more: str = "") -> str:
    said = f' targetCategory="{category}"' if category else ""
    return f'<RegressionTable intercept="{intercept}"{said}><NumericPredictor name="x" coefficient="{weight}"/>{more}</RegressionTable>'


def probabilities(*classes: str) -> str:
    return "<Output>" + "".join(
        f'<OutputField name="p({c})" feature="probability" value="{c}" optype="continuous" dataType="double"/>' for c in classes
    ) + "</Output>"  # fmt: skip


def regressions() -> list[File]:
    found = []
    for method in ("none", "logit", "softmax", "exp", "probit", "cloglog", "loglog", "cauchit"):
        model = f'<RegressionModel functionName="regression" normalizationMethod="{method}">{schema("x", target="y")}{table(0.3, -0.7)}</RegressionModel>'
        found.append(File(f"regression-{method}", document(number("x") + number("y"), model), {"x": GRID[:11]}))
    for method in ("none", "logit", "softmax", "simplemax", "probit", "cloglog", "loglog", "cauchit"):
        two = table(0.31, 0.17, "a") + '<RegressionTable intercept="0" targetCategory="b"/>'
        if method in ("simplemax", "softmax"):
            two = table(4.31, 0.17, "a") + table(3.2, 0.31, "b")
        model = f'<RegressionModel functionName="classification" normalizationMethod="{method}">{schema("x", target="y")}{probabilities("a", "b")}{two}</RegressionModel>'
        found.append(File(f"two-classes-{method}", document(number("x") + text("y", "a", "b"), model), {"x": GRID[:11]}))
    for method in ("softmax", "simplemax", "logit"):
        three = table(5.3, 0.4, "a") + table(6.1, 0.2, "b") + table(5.0, 0.1, "c")
        model = f'<RegressionModel functionName="classification" normalizationMethod="{method}">{schema("x", target="y")}{probabilities("a", "b", "c")}{three}</RegressionModel>'
        found.append(File(f"three-classes-{method}", document(number("x") + text("y", "a", "b", "c"), model), {"x": GRID[:11]}))
    more = (
        '<NumericPredictor name="x" exponent="3" coefficient="0.01"/><CategoricalPredictor name="s" value="u" coefficient="1.5"/>'
        '<PredictorTerm coefficient="0.3"><FieldRef field="x"/><FieldRef field="z"/></PredictorTerm>'
    )
    model = f'<RegressionModel functionName="regression">{schema("x", "s", "z", target="y")}{table(1.0, 2.0, "", more)}</RegressionModel>'
    rows = {"x": [0.0, 1.0, -2.0, NAN], "s": ["u", "v", None, "u"], "z": [1.0, 0.5, 3.0, 4.0]}
    found.append(File("terms", document(number("x") + text("s", "u", "v") + number("z") + number("y"), model), rows))
    return found


def general(kind: str, function: str, cells: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return (
        f'<GeneralRegressionModel functionName="{function}" modelType="{kind}"{said}>{schema("x", "s", target="y")}'
        '{OUTPUT}<ParameterList><Parameter name="p0"/><Parameter name="p1"/><Parameter name="p2"/><Parameter name="p3"/></ParameterList>'
        '<FactorList><Predictor name="s"/></FactorList><CovariateList><Predictor name="x"/></CovariateList><PPMatrix>'
        '<PPCell value="1" predictorName="x" parameterName="p1"/><PPCell value="u" predictorName="s" parameterName="p2"/>'
        '<PPCell value="2" predictorName="x" parameterName="p3"/><PPCell value="u" predictorName="s" parameterName="p3"/></PPMatrix>'
        f"<ParamMatrix>{cells}</ParamMatrix></GeneralRegressionModel>"
    )


def betas(category: str = "", scale: float = 1.0) -> str:
    said = f' targetCategory="{category}"' if category else ""
    values = {"p0": 0.4, "p1": 0.25, "p2": -0.3, "p3": 0.05}
    return "".join(f'<PCell{said} parameterName="{k}" df="1" beta="{v * scale}"/>' for k, v in values.items())


def generals() -> list[File]:
    data = number("x") + text("s", "u", "v")
    rows = {"x": [0.0, 0.5, 1.0, 2.0, 3.0, 1.5, NAN, 1.0], "s": ["u", "v", "u", "v", "u", "v", "u", None]}
    found = []
    for kind in ("regression", "generalLinear"):
        found.append(
            File(
                f"general-{kind}",
                document(data + number("y"), general(kind, "regression", betas()).replace("{OUTPUT}", "")),
                rows,
            )
        )
    links = {
        "identity": {}, "log": {}, "logit": {}, "probit": {}, "cloglog": {}, "loglog": {}, "logc": {},
        "power": {"linkParameter": "2"}, "oddspower": {"linkParameter": "0.5"}, "negbin": {"distParameter": "1.5"},
    }  # fmt: skip
    for link, more in links.items():
        cells = betas(scale=-1.0) if link == "negbin" else betas()
        model = general("generalizedLinear", "regression", cells, linkFunction=link, distribution="normal", **more).replace(
            "{OUTPUT}", ""
        )
        found.append(File(f"glm-{link}", document(data + number("y"), model), rows))
    model = general(
        "generalizedLinear", "regression", betas(), linkFunction="log", distribution="poisson", offsetValue="0.7"
    ).replace("{OUTPUT}", "")
    found.append(File("glm-offset", document(data + number("y"), model), rows))
    model = general(
        "generalizedLinear", "regression", betas(), linkFunction="logit", distribution="binomial", trialsValue="5"
    ).replace("{OUTPUT}", "")
    found.append(File("glm-trials", document(data + number("y"), model), rows))
    cells = betas("no")
    model = general(
        "generalizedLinear", "classification", cells, linkFunction="logit", distribution="binomial", targetReferenceCategory="yes"
    )
    found.append(
        File("glm-classes", document(data + text("y", "no", "yes"), model.replace("{OUTPUT}", probabilities("no", "yes"))), rows)
    )
    cells = betas("a") + betas("b", -0.6)
    model = general("multinomialLogistic", "classification", cells, targetReferenceCategory="c")
    found.append(
        File(
            "multinomial",
            document(data + text("y", "a", "b", "c"), model.replace("{OUTPUT}", probabilities("a", "b", "c"))),
            rows,
        )
    )
    common = '<PCell parameterName="p1" beta="0.25"/><PCell parameterName="p2" beta="-0.3"/>'
    cells = (
        '<PCell targetCategory="a" parameterName="p0" beta="-1"/><PCell targetCategory="b" parameterName="p0" beta="0.8"/>'
        + common
    )
    for link in ("logit", "probit", "cloglog", "loglog", "cauchit"):
        model = general("ordinalMultinomial", "classification", cells, cumulativeLink=link).replace(
            "{OUTPUT}", probabilities("a", "b", "c")
        )
        found.append(File(f"ordinal-{link}", document(data + text("y", "a", "b", "c"), model), rows))
    return found


# --- ensembles ------------------------------------------------------------------------------------------------------------------


def segment(model: str, predicate: str = "<True/>", weight: float | None = None) -> str:
    said = "" if weight is None else f' weight="{weight}"'
    return f"<Segment{said}>{predicate}{model}</Segment>"


def line(intercept: float, weight: float) -> str:
    return f'<RegressionModel functionName="regression">{schema("x", target="y")}{table(intercept, weight)}</RegressionModel>'


def stump(limit: float, low: str, high: str, kind: str = "regression") -> str:
    body = node(low, "<True/>", node(low, simple("x", "lessOrEqual", limit)), node(high, simple("x", "greaterThan", limit)))
    return (
        f'<TreeModel functionName="{kind}" noTrueChildStrategy="returnLastPrediction">{schema("x", target="y")}{body}</TreeModel>'
    )


def ensemble(method: str, *segments: str, kind: str = "regression", classes: tuple[str, ...] = (), more: str = "") -> bytes:
    target = text("y", *classes) if classes else number("y")
    body = f'<Segmentation multipleModelMethod="{method}">{"".join(segments)}</Segmentation>'
    return document(
        number("x") + target, f'<MiningModel functionName="{kind}">{schema("x", target="y")}{more}{body}</MiningModel>'
    )


def ensembles() -> list[File]:
    found = []
    lines = ((0.5, 1.0), (-1.0, 2.0), (3.0, -0.25))
    for method in ("sum", "average", "weightedAverage", "weightedSum", "median"):
        parts = [segment(line(a, b), weight=w) for (a, b), w in zip(lines, (0.5, 2.0, 1.25), strict=True)]
        found.append(File(f"lines-{method}", ensemble(method, *parts), {"x": GRID[:12]}))
    found.append(File("lines-median-even", ensemble("median", *(segment(line(a, b)) for a, b in lines[:2])), {"x": GRID[:12]}))
    for method in ("sum", "average", "weightedAverage", "median"):
        parts = [
            segment(stump(t, a, b), weight=w)
            for t, a, b, w in ((0.0, "1", "2", 1), (1.0, "0.1", "0.7", 3), (2.5, "-4", "5", 0.5))
        ]
        found.append(File(f"stumps-{method}", ensemble(method, *parts), {"x": GRID}))
    for method in ("majorityVote", "weightedMajorityVote"):
        votes = [
            segment(stump(t, a, b, "classification"), weight=w)
            for t, a, b, w in ((0.0, "a", "b", 1.1), (1.0, "b", "a", 3.2), (2.5, "a", "b", 2.5))
        ]
        found.append(
            File(
                f"votes-{method}",
                ensemble(method, *votes, kind="classification", classes=("a", "b"), more=probabilities("a", "b")),
                {"x": GRID[:12]},
            )
        )
    cases = [
        segment(line(1, 2), simple("x", "lessThan", 0)),
        segment(line(-1, 1), simple("x", "lessThan", 2)),
        segment(line(9, 0.5), simple("x", "greaterOrEqual", 3)),
    ]
    for method in ("selectFirst", "sum", "average", "weightedAverage"):
        found.append(File(f"conditional-{method}", ensemble(method, *cases), {"x": GRID[:12]}))
    words = [
        segment(stump(0.0, "a", "b", "classification"), simple("x", "lessThan", 1)),
        segment(stump(2.0, "b", "c", "classification")),
    ]
    found.append(
        File("first-classes", ensemble("selectFirst", *words, kind="classification", classes=("a", "b", "c")), {"x": GRID[:12]})
    )
    inner = '<Output><OutputField name="raw" feature="predictedValue" optype="continuous" dataType="double" isFinalResult="false"/></Output>'
    first = line(0.3, 0.9).replace("<RegressionTable", f"{inner}<RegressionTable", 1)
    last = (
        '<RegressionModel functionName="classification" normalizationMethod="logit"><MiningSchema><MiningField name="raw"/>'
        f'<MiningField name="y" usageType="target"/></MiningSchema>{probabilities("a", "b")}<RegressionTable intercept="-1" targetCategory="b">'
        '<NumericPredictor name="raw" coefficient="2"/></RegressionTable><RegressionTable intercept="0" targetCategory="a"/></RegressionModel>'
    )
    found.append(
        File(
            "chain",
            ensemble("modelChain", segment(first), segment(last), kind="classification", classes=("a", "b")),
            {"x": GRID[:12]},
        )
    )
    targets = (
        '<Targets><Target field="y" rescaleFactor="2.5" rescaleConstant="-1" castInteger="{cast}" min="-3" max="6.5"/></Targets>'
    )
    for cast in ("round", "ceiling", "floor"):
        found.append(
            File(
                f"target-{cast}",
                ensemble("sum", *(segment(line(a, b)) for a, b in lines), more=targets.replace("{cast}", cast)),
                {"x": GRID[:12]},
            )
        )
    return found


# --- points ---------------------------------------------------------------------------------------------------------------------


def measures() -> list[File]:
    found = []
    data = number("x") + number("z")
    rows = {"x": [0.1, 1.3, -2.0, 4.4, 3.1, 0.0], "z": [0.2, -1.0, 2.2, 4.5, 0.3, 9.1]}
    plain = rows
    nans = {"x": [*rows["x"], NAN, 1.5], "z": [*rows["z"], 0.3, NAN]}
    for kind, measure in (
        ("euclidean", "<euclidean/>"), ("squaredEuclidean", "<squaredEuclidean/>"), ("cityBlock", "<cityBlock/>"),
        ("chebychev", "<chebychev/>"), ("minkowski", '<minkowski p-parameter="3"/>'),
    ):  # fmt: skip
        for weights in (("1", "1"), ("2", "0.5")):
            compare = f'<ComparisonMeasure kind="distance" compareFunction="absDiff">{measure}</ComparisonMeasure>'
            fields_ = "".join(f'<ClusteringField field="{n}" fieldWeight="{w}"/>' for n, w in zip("xz", weights, strict=True))
            centres = "".join(
                f'<Cluster id="c{i}"><Array type="real" n="2">{a} {b}</Array></Cluster>'
                for i, (a, b) in enumerate(((0, 0), (3, 1.5), (-1, 4)))
            )
            output = (
                '<Output><OutputField name="which" feature="predictedValue" optype="categorical" dataType="string"/>'
                '<OutputField name="far" feature="affinity" value="c1" optype="continuous" dataType="double"/>'
                '<OutputField name="own" feature="affinity" optype="continuous" dataType="double"/></Output>'
            )
            model = f'<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="3">{schema("x", "z")}{output}{compare}{fields_}{centres}</ClusteringModel>'
            rows, refused = (nans, {"x": [NAN], "z": [NAN]}) if "uclidean" in kind else (plain, {})
            found.append(File(f"clusters-{kind}-{weights[0]}", document(data, model), rows, refused))
    stored = [
        (0, 0, "a", 1.0),
        (3, 1.5, "b", 2.0),
        (-1, 4, "a", 7.0),
        (2, 2, "b", -3.0),
        (0.5, 8, "c", 0.25),
        (4, 4.25, "c", 5.5),
    ]
    table_ = "".join(f"<row><x>{a}</x><z>{b}</z><y>{{}}</y></row>".format(c) for a, b, c, _ in stored)
    numbers = "".join(f"<row><x>{a}</x><z>{b}</z><y>{v}</y></row>" for a, b, _, v in stored)
    for function, methods, rows_, target in (
        ("classification", ("majorityVote", "weightedMajorityVote"), table_, text("y", "a", "b", "c")),
        ("regression", ("average", "weightedAverage"), numbers, number("y")),
    ):
        for method in methods:
            scoring = "categoricalScoringMethod" if function == "classification" else "continuousScoringMethod"
            model = (
                f'<NearestNeighborModel functionName="{function}" numberOfNeighbors="3" {scoring}="{method}">{schema("x", "z", target="y")}'
                '<TrainingInstances isTransformed="true"><InstanceFields><InstanceField field="x" column="x"/><InstanceField field="z" column="z"/>'
                f'<InstanceField field="y" column="y"/></InstanceFields><InlineTable>{rows_}</InlineTable></TrainingInstances>'
                '<ComparisonMeasure kind="distance"><euclidean/></ComparisonMeasure>'
                '<KNNInputs><KNNInput field="x" compareFunction="absDiff"/><KNNInput field="z" compareFunction="absDiff" fieldWeight="0.5"/></KNNInputs>'
                "</NearestNeighborModel>"
            )
            found.append(File(f"neighbors-{method}", document(data + target, model), nans, {"x": [NAN], "z": [NAN]}))
    return found


def bayes() -> list[File]:
    def counts(**each: int) -> str:
        return "".join(f'<TargetValueCount value="{k}" count="{v}"/>' for k, v in each.items())

    words = "".join(
        f'<PairCounts value="{v}"><TargetValueCounts>{counts(**c)}</TargetValueCounts></PairCounts>'
        for v, c in (("u", {"a": 10, "b": 3}), ("v", {"a": 0, "b": 7}), ("w", {"a": 5, "b": 2}))
    )
    stats = "".join(
        f'<TargetValueStat value="{k}"><GaussianDistribution mean="{m}" variance="{v}"/></TargetValueStat>'
        for k, m, v in (("a", 0.5, 1.5), ("b", 2.0, 0.75))
    )
    inputs = f'<BayesInput fieldName="s">{words}</BayesInput><BayesInput fieldName="x"><TargetValueStats>{stats}</TargetValueStats></BayesInput>'
    model = (
        f'<NaiveBayesModel functionName="classification" threshold="0.001">{schema("s", "x", target="y")}{probabilities("a", "b")}'
        f'<BayesInputs>{inputs}</BayesInputs><BayesOutput fieldName="y"><TargetValueCounts>{counts(a=15, b=12)}</TargetValueCounts></BayesOutput></NaiveBayesModel>'
    )
    rows = {"s": ["u", "v", "w", "u", None, "v", "w", None], "x": [0.0, 1.0, 2.5, 9.0, 1.0, NAN, -30.0, NAN]}
    return [File("bayes", document(text("s", "u", "v", "w") + number("x") + text("y", "a", "b"), model), rows)]


BIASES = {"OneAgainstAll": (0.7, -0.2, 0.4), "OneAgainstOne": (0.7, 1.2, 1.4)}


def machines() -> list[File]:
    data = number("x") + number("z")
    rows = {"x": [0.1, 1.3, -2.0, 4.4, 3.1], "z": [0.2, -1.0, 2.2, 4.5, 0.3]}
    vectors = "".join(
        f'<VectorInstance id="v{i}"><Array type="real" n="2">{a} {b}</Array></VectorInstance>'
        for i, (a, b) in enumerate(((0, 1), (2, -1), (1, 3)))
    )
    dictionary = f'<VectorDictionary numberOfVectors="3"><VectorFields numberOfFields="2"><FieldRef field="x"/><FieldRef field="z"/></VectorFields>{vectors}</VectorDictionary>'
    supports = "<SupportVectors>" + "".join(f'<SupportVector vectorId="v{i}"/>' for i in range(3)) + "</SupportVectors>"

    def machine(bias: float, *weights: float, first: str = "", second: str = "") -> str:
        said = (f' targetCategory="{first}"' if first else "") + (f' alternateTargetCategory="{second}"' if second else "")
        values = "".join(f'<Coefficient value="{w}"/>' for w in weights)
        return f'<SupportVectorMachine{said}>{supports if len(weights) == 3 else ""}<Coefficients absoluteValue="{bias}">{values}</Coefficients></SupportVectorMachine>'

    found = []
    for name, kernel in (
        ("linear", "<LinearKernelType/>"), ("poly", '<PolynomialKernelType gamma="0.3" coef0="1.5" degree="3"/>'),
        ("rbf", '<RadialBasisKernelType gamma="0.4"/>'), ("sigmoid", '<SigmoidKernelType gamma="0.2" coef0="0.1"/>'),
    ):  # fmt: skip
        model = f'<SupportVectorMachineModel functionName="regression">{schema("x", "z", target="y")}{kernel}{dictionary}{machine(0.7, 1.5, -2.0, 0.25)}</SupportVectorMachineModel>'
        found.append(File(f"svm-{name}", document(data + number("y"), model), rows))
    for method, names in (
        ("OneAgainstAll", [("a", ""), ("b", ""), ("c", "")]),
        ("OneAgainstOne", [("a", "b"), ("a", "c"), ("b", "c")]),
    ):
        parts = "".join(
            machine(b, 1.5 * b, -2.0, 0.25 * k, first=p, second=q)
            for k, (b, (p, q)) in enumerate(zip(BIASES[method], names, strict=True))
        )
        model = f'<SupportVectorMachineModel functionName="classification" classificationMethod="{method}">{schema("x", "z", target="y")}<RadialBasisKernelType gamma="0.4"/>{dictionary}{parts}</SupportVectorMachineModel>'
        found.append(File(f"svm-{method}", document(data + text("y", "a", "b", "c"), model), rows))
    plane = machine(0.7, 1.5, -2.0)
    bare = dictionary[: dictionary.index("<VectorInstance")] + "</VectorDictionary>"
    model = f'<SupportVectorMachineModel functionName="regression" svmRepresentation="Coefficients">{schema("x", "z", target="y")}<LinearKernelType/>{bare}{plane}</SupportVectorMachineModel>'
    found.append(File("svm-coefficients", document(data + number("y"), model), rows))
    return found


def scorecards() -> list[File]:
    def characteristic(name: str, *attributes: tuple[str, str]) -> str:
        inside = "".join(f'<Attribute partialScore="{points}">{predicate}</Attribute>' for points, predicate in attributes)
        return f'<Characteristic name="{name}">{inside}</Characteristic>'

    inside = characteristic(
        "age",
        ("-9", simple("x", "isMissing")),
        ("-1", simple("x", "lessOrEqual", 0)),
        ("0.5", compound("and", simple("x", "greaterThan", 0), simple("x", "lessThan", 2))),
        ("10", "<True/>"),
    ) + characteristic("word", ("3.5", among("s", "u", "v")), ("7", "<True/>"))
    model = f'<Scorecard functionName="regression" initialScore="12.25" useReasonCodes="false">{schema("x", "s", target="y")}<Characteristics>{inside}</Characteristics></Scorecard>'
    rows = {"x": GRID, "s": ["u", "w", None, "v"] * 3 + ["u"]}
    return [File("scorecard", document(number("x") + text("s", "u", "v", "w") + number("y"), model), rows)]


# --- expressions ----------------------------------------------------------------------------------------------------------------


def apply(function: str, *arguments: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<Apply function="{function}"{said}>{"".join(arguments)}</Apply>'


def ref(name: str) -> str:
    return f'<FieldRef field="{name}"/>'


def constant(value: object, kind: str = "double") -> str:
    return f'<Constant dataType="{kind}">{value}</Constant>'


def expression(body: str, kind: str = "double") -> bytes:
    place = f'<DerivedField name="d" optype="{"continuous" if kind == "double" else "categorical"}" dataType="{kind}">{body}</DerivedField>'
    output = f'<Output><OutputField name="o" optype="{"continuous" if kind == "double" else "categorical"}" dataType="{kind}" feature="transformedValue"><FieldRef field="d"/></OutputField></Output>'
    model = f'<RegressionModel functionName="regression">{schema("x", "z", "s", target="y")}{output}<RegressionTable intercept="0"/></RegressionModel>'
    data = number("x") + number("z") + text("s") + number("y")
    return document(data, model, f"<TransformationDictionary>{place}</TransformationDictionary>")


X, Z, S = ref("x"), ref("z"), ref("s")
KNOTS = '<LinearNorm orig="0" norm="0.25"/><LinearNorm orig="1" norm="3"/><LinearNorm orig="3" norm="6"/>'
BINS = "".join(
    f'<DiscretizeBin binValue="{v}"><Interval closure="{c}"{a}{b}/></DiscretizeBin>'
    for v, c, a, b in (
        ("1", "openOpen", "", ' rightMargin="0"'),
        ("2", "closedOpen", ' leftMargin="0"', ' rightMargin="1"'),
        ("3", "closedClosed", ' leftMargin="1.5"', ' rightMargin="3"'),
    )
)
PAIRED = "".join(f"<row><i>{i}</i><j>{j}</j><o>{o}</o></row>" for i, j, o in (("a", 0, 5), ("a", 1, 6), ("b", 0, 7), ("b", 2, 8)))
EXPRESSIONS = {
    "plus": apply("+", X, Z), "minus": apply("-", X, Z), "times": apply("*", X, Z), "over": apply("/", X, constant(3)),
    "over-map": apply("/", X, Z, mapMissingTo="-1", defaultValue="5"),
    "sum": apply("sum", X, Z, constant(1)), "sum-map": apply("sum", X, Z, mapMissingTo="-4"), "avg": apply("avg", X, Z),
    "min": apply("min", X, Z), "max": apply("max", X, Z, constant(1)), "product": apply("product", X, Z, constant(2)),
    "log10": apply("log10", apply("+", apply("abs", X), constant(1))), "ln": apply("ln", apply("+", apply("abs", X), constant(1))),
    "sqrt": apply("sqrt", apply("abs", X)), "exp": apply("exp", X), "pow": apply("pow", apply("abs", X), constant(1.5)),
    "threshold": apply("threshold", X, Z), "floor": apply("floor", X), "ceil": apply("ceil", X), "round": apply("round", X),
    "rint": apply("rint", X), "modulo": apply("modulo", X, constant(1.75)), "expm1": apply("expm1", X), "ln1p": apply("ln1p", apply("abs", X)),
    "sin": apply("sin", X), "tanh": apply("tanh", X), "atan": apply("atan", X), "hypot": apply("hypot", X, Z),
    "std-cdf": apply("stdNormalCDF", X), "std-pdf": apply("stdNormalPDF", X), "std-idf": apply("stdNormalIDF", constant(0.3)),
    "cdf": apply("normalCDF", X, constant(1), constant(2)), "pdf": apply("normalPDF", X, constant(1), constant(2)),
    "if": apply("if", apply("greaterThan", X, constant(1)), Z, X), "if-map": apply("if", apply("greaterThan", X, constant(1)), Z, X, mapMissingTo="8"),
    "if-two": apply("if", apply("lessOrEqual", X, constant(1)), Z),
    "and": apply("if", apply("and", apply("greaterThan", X, constant(0)), apply("lessThan", Z, constant(2))), constant(1), constant(0)),
    "or": apply("if", apply("or", apply("greaterThan", X, constant(2)), apply("lessThan", Z, constant(1))), constant(1), constant(0)),
    "not": apply("if", apply("not", apply("equal", X, constant(1))), constant(1), constant(0)),
    "is-missing": apply("if", apply("isMissing", X), constant(-1), X), "is-valid": apply("if", apply("isValid", X), X, constant(-1)),
    "is-in": apply("if", apply("isIn", S, constant("a", "string"), constant("c", "string")), constant(1), constant(0)),
    "is-not-in": apply("if", apply("isNotIn", X, constant(1), constant(2)), constant(1), constant(0)),
    "ln-partial": apply("if", apply("greaterThan", X, constant(0)), apply("ln", X), constant(-9)),
    "ref-map": '<FieldRef field="x" mapMissingTo="2.25"/>',
    "norm": f'<NormContinuous field="x">{KNOTS}</NormContinuous>',
    "norm-clip": f'<NormContinuous field="x" outliers="asExtremeValues" mapMissingTo="-1">{KNOTS}</NormContinuous>',
    "norm-missing": f'<NormContinuous field="x" outliers="asMissingValues">{KNOTS}</NormContinuous>',
    "discrete": '<NormDiscrete field="s" value="a"/>', "discrete-map": '<NormDiscrete field="s" value="a" mapMissingTo="0.5"/>',
    "bins": f'<Discretize field="x" dataType="double" defaultValue="9" mapMissingTo="-9">{BINS}</Discretize>',
    "bins-bare": f'<Discretize field="x" dataType="double">{BINS}</Discretize>',
    "pairs": f'<MapValues outputColumn="o" dataType="double"><FieldColumnPair field="s" column="i"/><FieldColumnPair field="z" column="j"/><InlineTable>{PAIRED}</InlineTable></MapValues>',
    "pairs-map": f'<MapValues outputColumn="o" dataType="double" defaultValue="-2" mapMissingTo="-3"><FieldColumnPair field="s" column="i"/><FieldColumnPair field="z" column="j"/><InlineTable>{PAIRED}</InlineTable></MapValues>',
}  # fmt: skip
MANY = {
    "x": [*GRID, 1.0, NAN, 0.0, 2.0],
    "z": [0.0, 1.0, 2.0, NAN, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, NAN, NAN, 2.0, 2.0],
    "s": ["a", "b", None, "a", "b", "c", "b", "a", "a", "b", "b", "c", "a", "a", "b", None, "c"],
}


def expressions() -> list[File]:
    return [File(f"expression-{name}", expression(body), MANY) for name, body in EXPRESSIONS.items()]


FILES = [
    *fields(), *trees(), *regressions(), *generals(), *ensembles(), *measures(), *bayes(), *machines(), *scorecards(), *expressions(),
]  # fmt: skip


def feeds_of(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Columns as arrays [rows, 1]: strings where a cell is one, else doubles."""
    found: dict[str, Any] = {}
    for name, cells in rows.items():
        column: Any = np.empty(len(cells), dtype=object)
        column[:] = cells
        texts = any(isinstance(c, str) or c is None for c in cells)
        found[name] = (column if texts else column.astype(np.float64))[:, None]
    return found

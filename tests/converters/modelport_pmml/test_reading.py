"""Files written by others, against what the PMML 4.4 specification says they answer; and against the public scorers."""

from __future__ import annotations

import math

import modelport_pmml
import numpy as np
import pytest

from modelport.errors import ArtifactError, InputError, Unsupported
from tests.converters.modelport_pmml.common import ENGINES, derived, document, engine, number_field, schema, strings

NAN = float("nan")


def answer(data: bytes, **columns: object) -> list:  # type: ignore[type-arg]
    """The first output for columns of numbers, or of strings where the name begins with s."""
    return answer_of(modelport_pmml.load(data), columns)


def answer_of(loaded, columns) -> list:  # type: ignore[type-arg,no-untyped-def]
    feeds = {k: strings(*v)[:, None] if k.startswith("s") else np.array(v, dtype=float)[:, None] for k, v in columns.items()}
    got = loaded.run(feeds)[loaded.outputs[0].name].ravel().tolist()
    return [None if v is None or v != v else v for v in got]


def apply(function: str, *arguments: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<Apply function="{function}"{said}>{"".join(arguments)}</Apply>'


def ref(name: str) -> str:
    return f'<FieldRef field="{name}"/>'


def constant(value: object, kind: str = "double") -> str:
    return f'<Constant dataType="{kind}">{value}</Constant>'


X, Z, S = ref("x"), ref("z"), ref("s")
TRUE, FALSE = constant("true", "boolean"), constant("false", "boolean")
GREATER = apply("greaterThan", X, constant(1))
KNOTS = '<LinearNorm orig="0" norm="0"/><LinearNorm orig="3" norm="6"/>'
FUNCTIONS = [
    (apply("+", X, Z), [5.0, None, None]),
    (apply("/", X, Z), [1.5, None, None]),
    (apply("sum", X, Z, constant(1)), [6.0, 3.0, 5.0]),
    (apply("avg", X, Z), [2.5, 2.0, 4.0]),
    (apply("min", X, Z), [2.0, 2.0, 4.0]),
    (apply("max", X, Z), [3.0, 2.0, 4.0]),
    (apply("product", X, Z, constant(2)), [12.0, 4.0, 8.0]),
    (apply("pow", X, constant(2)), [9.0, None, 16.0]),
    (apply("exp", X), [math.exp(3), None, math.exp(4)]),
    (apply("round", apply("/", X, constant(2))), [2.0, None, 2.0]),
    (apply("rint", apply("/", X, constant(2))), [2.0, None, 2.0]),
    (apply("modulo", X, constant(2)), [1.0, None, 0.0]),
    (apply("threshold", X, constant(3)), [0.0, None, 1.0]),
    (apply("stdNormalCDF", apply("-", X, constant(3))), [0.5, None, 0.8413447460685429]),
    (apply("+", X, constant(1), mapMissingTo="-7"), [4.0, -7.0, 5.0]),
    (apply("if", apply("isMissing", X), constant(-1), X), [3.0, -1.0, 4.0]),
    (apply("if", apply("isNotMissing", X), X), [3.0, None, 4.0]),
    (apply("if", GREATER, constant(1), constant(0)), [1.0, None, 1.0]),
    (apply("if", apply("and", GREATER, FALSE), constant(1), constant(0)), [0.0, 0.0, 0.0]),
    (apply("if", apply("or", GREATER, TRUE), constant(1), constant(0)), [1.0, 1.0, 1.0]),
    (apply("if", apply("and", GREATER, TRUE), constant(1), constant(0)), [1.0, None, 1.0]),
    (apply("if", apply("not", GREATER), constant(1), constant(0)), [0.0, None, 0.0]),
    (apply("if", apply("isIn", X, constant(3), constant(5)), constant(1), constant(0)), [1.0, 0.0, 0.0]),
    (apply("if", apply("isNotIn", X, constant(3), constant(5)), constant(1), constant(0)), [0.0, 1.0, 1.0]),
    ('<FieldRef field="x" mapMissingTo="8"/>', [3.0, 8.0, 4.0]),
    (f'<NormContinuous field="x">{KNOTS}</NormContinuous>', [6.0, None, 8.0]),
    (
        f'<NormContinuous field="x" outliers="asExtremeValues" mapMissingTo="9">{KNOTS}</NormContinuous>',
        [6.0, 9.0, 6.0],
    ),
    (
        '<Discretize field="x" mapMissingTo="5" defaultValue="7" dataType="double"><DiscretizeBin binValue="1">'
        '<Interval closure="closedOpen" leftMargin="3" rightMargin="4"/></DiscretizeBin></Discretize>',
        [1.0, 5.0, 7.0],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), FUNCTIONS)
def test_expressions(expression: str, expected: list) -> None:  # type: ignore[type-arg]
    data = derived(expression, *(["x", "z"] if 'field="z"' in expression else ["x"]))
    columns = {"x": [3.0, NAN, 4.0], "z": [2.0, 2.0, NAN]}
    got = answer(data, **{k: v for k, v in columns.items() if f'field="{k}"' in expression})
    assert got == pytest.approx(expected, rel=1e-15) if all(v is not None for v in expected) else got == expected


TEXTS = [
    ('<NormDiscrete field="s" value="a"/>', "double", [1.0, 0.0, 0.0, None]),
    ('<NormDiscrete field="s" value="" mapMissingTo="0.5"/>', "double", [0.0, 0.0, 1.0, 0.5]),
    (apply("if", apply("equal", S, constant("a", "string")), constant("yes", "string"), S), "string", ["yes", "b", "", None]),
    (
        '<MapValues outputColumn="o" defaultValue="?" mapMissingTo="!"><FieldColumnPair field="s" column="i"/><InlineTable>'
        "<row><i>a</i><o>A</o></row><row><i></i><o>nothing</o></row></InlineTable></MapValues>",
        "string",
        ["A", "?", "nothing", "!"],
    ),
    (
        '<MapValues outputColumn="o" dataType="double"><FieldColumnPair field="s" column="i"/><InlineTable>'
        "<row><i>a</i><o>1.5</o></row></InlineTable></MapValues>",
        "double",
        [1.5, None, None, None],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "data_type", "expected"), TEXTS)
def test_expressions_of_strings(expression: str, data_type: str, expected: list) -> None:  # type: ignore[type-arg]
    assert answer(derived(expression, "s", data_type=data_type), s=["a", "b", "", None]) == expected


def test_functions_of_the_document() -> None:
    function = (
        '<DefineFunction name="twice" optype="continuous" dataType="double"><ParameterField name="p"/>'
        + apply("*", ref("p"), constant(2))
        + "</DefineFunction>"
    )
    data = derived(apply("twice", apply("twice", X)), "x").replace(
        b"<TransformationDictionary>", f"<TransformationDictionary>{function}".encode()
    )
    assert answer(data, x=[1.5, NAN]) == [6.0, None]


# --- fields -------------------------------------------------------------------------------------------------------------------


def field_file(data: str, mining: str, predictor: str = "x") -> bytes:
    model = (
        f'<RegressionModel functionName="regression"><MiningSchema>{mining}</MiningSchema>'
        f'<RegressionTable intercept="1"><NumericPredictor name="{predictor}" coefficient="2"/></RegressionTable>'
        "</RegressionModel>"
    )
    return document(data, model)


def test_missing_values_are_replaced() -> None:
    data = field_file(number_field("x"), '<MiningField name="x" missingValueReplacement="10"/>')
    assert answer(data, x=[1.0, NAN]) == [3.0, 21.0]


def test_missing_values_are_refused() -> None:
    data = field_file(number_field("x"), '<MiningField name="x" missingValueTreatment="returnInvalid"/>')
    assert answer(data, x=[1.0]) == [3.0]
    with pytest.raises(InputError, match="missing value"):
        answer(data, x=[1.0, NAN])


VALUES = (
    '<DataField name="x" optype="categorical" dataType="double"><Value value="1"/><Value value="2"/>'
    '<Value value="-9" property="missing"/></DataField>'
)


def test_values_that_are_not_listed() -> None:
    assert answer(field_file(VALUES, '<MiningField name="x"/>'), x=[1.0, NAN, -9.0]) == [3.0, None, None]
    with pytest.raises(InputError, match=r"3\.0"):
        answer(field_file(VALUES, '<MiningField name="x"/>'), x=[3.0])
    kept = field_file(VALUES, '<MiningField name="x" invalidValueTreatment="asIs"/>')
    assert answer(kept, x=[3.0]) == [7.0]
    missing = field_file(VALUES, '<MiningField name="x" invalidValueTreatment="asMissing" missingValueReplacement="0"/>')
    assert answer(missing, x=[3.0, 2.0]) == [1.0, 5.0]


def test_floats_are_rounded() -> None:
    field = '<DataField name="x" optype="continuous" dataType="float"/>'
    loaded = modelport_pmml.load(field_file(field, '<MiningField name="x"/>'))
    assert loaded.inputs[0].dtype == "f32"
    assert loaded.run({"x": np.array([[0.1]])})["prediction"].tolist() == [1.0 + 2 * float(np.float32(0.1))]


@pytest.mark.parametrize("engine_name", ["modelport", "jpmml"])
def test_what_a_float_is_compared_with_is_a_float(engine_name: str, need) -> None:  # type: ignore[no-untyped-def]
    """0.1 as a float lies above 0.1 as a double; a predicate's value is of its field's dataType."""
    field = '<DataField name="x" optype="continuous" dataType="float"/>' + number_field("y")
    tree = node(1, holds("lessOrEqual", 0.1)) + node(2, holds("greaterThan", 0.1))
    model = f'<TreeModel functionName="regression">{schema("x", target="y")}<Node score="9"><True/>{tree}</Node></TreeModel>'
    one = np.float32(0.1)
    rows = [one, np.nextafter(one, np.float32(1)), np.nextafter(one, np.float32(0))]
    loaded = engine(engine_name, document(field, model), need)
    assert answer_of(loaded, {"x": rows}) == [1.0, 2.0, 1.0]


# --- models -------------------------------------------------------------------------------------------------------------------


def tree_file(children: str, **attributes: str) -> bytes:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    model = f'<TreeModel functionName="regression"{said}>{schema("x", "s")}<Node score="9"><True/>{children}</Node></TreeModel>'
    return document(number_field("x") + '<DataField name="s" optype="categorical" dataType="string"/>', model)


def node(score: float, predicate: str, inside: str = "", **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<Node score="{score}"{said}>{predicate}{inside}</Node>'


def holds(operator: str, value: object = None, field: str = "x") -> str:
    said = "" if value is None else f' value="{value}"'
    return f'<SimplePredicate field="{field}" operator="{operator}"{said}/>'


def compound(operator: str, *parts: str) -> str:
    return f'<CompoundPredicate booleanOperator="{operator}">{"".join(parts)}</CompoundPredicate>'


def instead(value: str) -> str:
    """x < 2, or, where x is missing, s = value."""
    return compound("surrogate", holds("lessThan", 2), holds("equal", value, "s"))


SPLIT = node(1, holds("lessOrEqual", 2), id="a") + node(2, holds("greaterThan", 2), id="b")
DEFAULT_CHILD = tree_file(SPLIT, missingValueStrategy="defaultChild").replace(b'score="9">', b'score="9" defaultChild="b">')
AMONG = '<SimpleSetPredicate field="s" booleanOperator="{}"><Array type="string">"a" c</Array></SimpleSetPredicate>'
TREES = [
    (tree_file(SPLIT), [1, 1, 2, None]),
    (tree_file(SPLIT, noTrueChildStrategy="returnLastPrediction"), [1, 1, 2, 9]),
    (tree_file(SPLIT, missingValueStrategy="lastPrediction"), [1, 1, 2, 9]),
    (tree_file(SPLIT, missingValueStrategy="nullPrediction"), [1, 1, 2, None]),
    (DEFAULT_CHILD, [1, 1, 2, 2]),
    (tree_file(node(1, holds("lessThan", 2)) + node(2, "<True/>")), [1, 2, 2, 2]),
    (tree_file(node(1, holds("equal", 2)) + node(2, holds("notEqual", 2))), [2, 1, 2, None]),
    (tree_file(node(1, holds("equal", 1.5)) + node(2, "<True/>")), [1, 2, 2, 2]),
    (tree_file(node(1, holds("isMissing")) + node(2, holds("isNotMissing"))), [2, 2, 2, 1]),
    (tree_file(node(1, compound("or", holds("isMissing"), holds("lessThan", 2))) + node(2, "<True/>")), [1, 2, 2, 1]),
    (tree_file(node(1, compound("and", holds("greaterThan", 1), holds("lessThan", 2.5))) + node(2, "<True/>")), [1, 1, 2, 2]),
    (tree_file(node(1, instead("a")) + node(2, "<True/>")), [1, 2, 2, 2]),
    (tree_file(node(1, instead("b")) + node(2, "<True/>")), [1, 2, 2, 1]),
    (tree_file(node(1, holds("equal", "a", "s")) + node(2, holds("equal", "b", "s")) + node(3, "<True/>")), [1, 2, 3, 2]),
    (tree_file(node(1, AMONG.format("isIn")) + node(2, AMONG.format("isNotIn"))), [1, 2, 1, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), TREES)
def test_tree_nodes(data: bytes, expected: list) -> None:  # type: ignore[type-arg]
    assert answer(data, x=[1.5, 2.0, 3.0, NAN], s=["a", "b", "c", "b"]) == expected


@pytest.mark.parametrize("kind", ENGINES[1:])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 8, 9, 10])
def test_public_scorers_walk_trees_alike(number: int, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    data, expected = TREES[number]
    target = schema("x", "s", target="y").encode()
    data = data.replace(schema("x", "s").encode(), target).replace(
        b"</DataDictionary>", f"{number_field('y')}</DataDictionary>".encode()
    )
    loaded = engine(kind, data, need)
    if kind == "pypmml":
        loaded._fields.outputs["y"] = ["predicted_y"]  # type: ignore[attr-defined]
    assert answer_of(loaded, {"x": [1.5, 2.0, 3.0, NAN], "s": ["a", "b", "c", "b"]}) == expected


def classifier(model: str, values: str = "ab", data_type: str = "string") -> bytes:
    listed = "".join(f'<Value value="{v}"/>' for v in values)
    target = f'<DataField name="y" optype="categorical" dataType="{data_type}">{listed}</DataField>'
    return document(number_field("x") + target, model)


def tables(*scores: tuple[str, float, float]) -> str:
    return "".join(
        f'<RegressionTable targetCategory="{k}" intercept="{b}"><NumericPredictor name="x" coefficient="{w}"/></RegressionTable>'
        for k, w, b in scores
    )


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z))


METHODS = {
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(),
    "simplemax": lambda z: z / z.sum(),
    "logit": lambda z: np.array([logistic(v) for v in z]) / sum(logistic(v) for v in z),
    "none": lambda z: np.array([z[0], z[1], 1 - z[0] - z[1]]),
}


@pytest.mark.parametrize("method", METHODS)
def test_regression_tables(method: str) -> None:
    scores = tables(("c", 0.1, 0.3), ("a", 0.2, 0.1), ("b", 0.05, 0.2))
    said = f'<RegressionModel functionName="classification" normalizationMethod="{method}">{schema("x", target="y")}'
    output = "".join(f'<OutputField name="p{k}" feature="probability" value="{k}" dataType="double"/>' for k in "abc")
    data = classifier(f"{said}<Output>{output}</Output>{scores}</RegressionModel>", "abc")
    loaded = modelport_pmml.load(data)
    got = loaded.run({"x": np.array([[1.0]])})
    expected = METHODS[method](np.array([0.1 * 1 + 0.3, 0.2 + 0.1, 0.05 + 0.2]))
    assert [got[f"p{k}"][0] for k in "cab"] == pytest.approx(expected, rel=1e-14)
    assert got["y"].tolist() == ["cab"[int(np.argmax(expected))]]


@pytest.mark.parametrize(
    ("link", "mean"),
    [("logit", logistic), ("exp", math.exp), ("none", float), ("cloglog", lambda z: 1 - math.exp(-math.exp(z))),
     ("loglog", lambda z: math.exp(-math.exp(-z))), ("cauchit", lambda z: 0.5 + math.atan(z) / math.pi)],
)  # fmt: skip
def test_links(link: str, mean) -> None:  # type: ignore[no-untyped-def]
    data = field_file(number_field("x"), '<MiningField name="x"/>').replace(
        b'functionName="regression"', f'functionName="regression" normalizationMethod="{link}"'.encode()
    )
    assert answer(data, x=[0.25, NAN]) == [pytest.approx(mean(1.5), rel=1e-14), None]


def test_predictors_of_other_kinds() -> None:
    table = (
        '<RegressionTable intercept="1"><NumericPredictor name="x" exponent="2" coefficient="3"/>'
        '<CategoricalPredictor name="s" value="a" coefficient="10"/>'
        f'<PredictorTerm coefficient="100">{X * 3}</PredictorTerm></RegressionTable>'
    )
    model = f'<RegressionModel functionName="regression">{schema("x", "s")}{table}</RegressionModel>'
    data = document(number_field("x") + '<DataField name="s" optype="categorical" dataType="string"/>', model)
    assert answer(data, x=[2.0, 2.0, 1.0], s=["a", "b", None]) == [823.0, 813.0, 104.0]


def test_targets_rescale() -> None:
    data = field_file(number_field("x"), '<MiningField name="x"/>').replace(
        b"<RegressionTable",
        b'<Targets><Target rescaleFactor="3" rescaleConstant="0.4" castInteger="floor"/></Targets><RegressionTable',
    )
    assert answer(data, x=[0.5]) == [6.0]


def segment(model: str, **attributes: str) -> str:
    said = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f"<Segment{said}><True/>{model}</Segment>"


def mining(method: str, segments: str) -> str:
    inside = f'<Segmentation multipleModelMethod="{method}">{segments}</Segmentation>'
    return f'<MiningModel functionName="regression">{schema("x")}{inside}</MiningModel>'


def line(weight: float) -> str:
    return (
        f'<RegressionModel functionName="regression">{schema("x")}<RegressionTable intercept="0">'
        f'<NumericPredictor name="x" coefficient="{weight}"/></RegressionTable></RegressionModel>'
    )


@pytest.mark.parametrize(
    ("method", "expected"), [("sum", 6.0), ("average", 3.0), ("weightedSum", 14.0), ("weightedAverage", 3.5)]
)
def test_models_of_models(method: str, expected: float) -> None:
    parts = segment(line(1), weight="1") + segment(line(2), weight="3")
    assert answer(document(number_field("x"), mining(method, parts)), x=[2.0, NAN]) == [expected, None]


def vote(score: str, limit: float) -> str:
    return (
        f'<TreeModel functionName="classification">{schema("x")}<Node><True/>'
        f'<Node score="{score}">{holds("lessOrEqual", limit)}</Node><Node score="b"><True/></Node></Node></TreeModel>'
    )


def test_majority_votes() -> None:
    parts = segment(vote("a", 1)) + segment(vote("a", 2)) + segment(vote("a", 3))
    model = (
        f'<MiningModel functionName="classification">{schema("x", target="y")}'
        f'<Segmentation multipleModelMethod="majorityVote">{parts}</Segmentation></MiningModel>'
    )
    assert answer(classifier(model), x=[0.0, 1.5, 2.5, 9.0]) == ["a", "a", "b", "b"]


def test_a_naive_bayes_model() -> None:
    def stats(mean_a: float, mean_b: float) -> str:
        both = (("a", mean_a), ("b", mean_b))
        inside = "".join(
            f'<TargetValueStat value="{k}"><GaussianDistribution mean="{m}" variance="4"/></TargetValueStat>' for k, m in both
        )
        return f'<BayesInput fieldName="x"><TargetValueStats>{inside}</TargetValueStats></BayesInput>'

    counts = '<TargetValueCount value="a" count="30"/><TargetValueCount value="b" count="10"/>'
    model = (
        f'<NaiveBayesModel functionName="classification" threshold="0">{schema("x", target="y")}'
        f'<Output><OutputField name="p" feature="probability" value="a" dataType="double"/></Output>'
        f"<BayesInputs>{stats(0.0, 1.0)}</BayesInputs><BayesOutput fieldName='y'><TargetValueCounts>{counts}"
        "</TargetValueCounts></BayesOutput></NaiveBayesModel>"
    )
    loaded = modelport_pmml.load(classifier(model))
    x = np.array([[-1.0], [0.5], [9.0]])
    a, b = 0.75 * np.exp(-(x[:, 0] ** 2) / 8), 0.25 * np.exp(-((x[:, 0] - 1) ** 2) / 8)
    assert loaded.run({"x": x})["p"] == pytest.approx(a / (a + b), rel=1e-14)
    assert loaded.run({"x": x})["y"].tolist() == np.where(a > b, "a", "b").tolist()


def test_networks() -> None:
    layers = (
        '<NeuralInputs><NeuralInput id="i"><DerivedField optype="continuous" dataType="double"><NormContinuous field="x">'
        '<LinearNorm orig="0" norm="-1"/><LinearNorm orig="4" norm="1"/></NormContinuous></DerivedField></NeuralInput>'
        "</NeuralInputs>"
        '<NeuralLayer activationFunction="tanh"><Neuron id="1" bias="0.5"><Con from="i" weight="2"/></Neuron>'
        '<Neuron id="2"><Con from="i" weight="-1"/></Neuron></NeuralLayer>'
        '<NeuralLayer activationFunction="Elliott"><Neuron id="3"><Con from="2" weight="3"/></Neuron></NeuralLayer>'
        '<NeuralLayer><Neuron id="4" bias="1"><Con from="3" weight="1"/></Neuron></NeuralLayer>'
        '<NeuralOutputs><NeuralOutput outputNeuron="4"><DerivedField optype="continuous" dataType="double">'
        '<NormContinuous field="y"><LinearNorm orig="10" norm="0"/><LinearNorm orig="30" norm="1"/></NormContinuous>'
        "</DerivedField></NeuralOutput></NeuralOutputs>"
    )
    said = 'functionName="regression" activationFunction="identity"'
    model = f"<NeuralNetwork {said}>{schema('x', target='y')}{layers}</NeuralNetwork>"
    z = 3 * math.tanh(-((3 / 4) * 2 - 1))
    expected = 10 + 20 * (1 + z / (1 + abs(z)))
    assert answer(document(number_field("x") + number_field("y"), model), x=[3.0]) == [pytest.approx(expected, rel=1e-14)]


def test_a_model_verification_becomes_vectors() -> None:
    proof = (
        '<ModelVerification><VerificationFields><VerificationField field="x" column="data:in"/>'
        '<VerificationField field="y" column="data:out" precision="1e-9" zeroThreshold="1e-12"/></VerificationFields>'
        '<InlineTable xmlns:data="urn:rows"><row><data:in>2.0</data:in><data:out>5.0</data:out></row>'
        "<row><data:in>-1</data:in><data:out>-1</data:out></row></InlineTable></ModelVerification>"
    )
    data = field_file(number_field("x") + number_field("y"), '<MiningField name="x"/><MiningField name="y" usageType="target"/>')
    loaded = modelport_pmml.load(data.replace(b"</RegressionModel>", f"{proof}</RegressionModel>".encode()))
    assert loaded.vectors is not None
    assert loaded.vectors.inputs["x"].tolist() == [[2.0], [-1.0]]
    assert loaded.vectors.outputs["y"].tolist() == [5.0, -1.0]
    assert loaded.vectors.tolerance["y"].rtol == 1e-9
    assert loaded.run(loaded.vectors.inputs)["y"].tolist() == [5.0, -1.0]


UNKNOWN = [
    (document(number_field("x"), f'<RuleSetModel functionName="classification">{schema("x")}</RuleSetModel>'), "RuleSetModel"),
    (derived('<Lag field="x"/>', "x"), "Lag"),
    (derived(apply("x-special", X), "x"), "x-special"),
    (derived(apply("substring", S, constant(1), constant(2)), "s", data_type="string"), "substring"),
    (tree_file(SPLIT, missingValueStrategy="weightedConfidence"), "weightedConfidence"),
    (field_file(number_field("x"), '<MiningField name="x" outliers="asExtremeValues"/>'), "outliers"),
    (field_file(number_field("x").replace("double", "dateTime"), '<MiningField name="x"/>'), "dateTime"),
    (document(number_field("x"), mining("selectAll", segment(line(1)))), "selectAll"),
    (document(number_field("x"), line(1).replace("<NumericPredictor", "<Odd/><NumericPredictor")), "Odd"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name"), UNKNOWN)
def test_what_is_not_known_is_named(data: bytes, name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        modelport_pmml.load(data)


OTHER_CLASSES = f'<RegressionModel functionName="classification">{schema("x", target="y")}{tables(("z", 1, 1))}</RegressionModel>'
BROKEN = [
    (field_file(number_field("x"), '<MiningField name="x"/>', "other"), "'other', which nothing"),
    (field_file(number_field("x"), '<MiningField name="gone"/>'), "'gone', which the DataDictionary"),
    (field_file(number_field("x") * 2, '<MiningField name="x"/>'), "'x' twice"),
    (derived(ref("d"), "x"), "defined by itself"),
    (derived(constant("one"), "x"), "no number"),
    (tree_file(node(1, "")), "no predicate"),
    (tree_file(node(1, '<SimplePredicate operator="equal"/>')), "lacks its field"),
    (tree_file(node("high", holds("equal", 1))), "no number"),  # type: ignore[arg-type]
    (classifier(OTHER_CLASSES), "target's values"),
    (document(number_field("x"), ""), "no model"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "sentence"), BROKEN)
def test_broken_files(data: bytes, sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        modelport_pmml.load(data)

"""The model elements this reader knows, and trees among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelport.errors import Unsupported

from ..parse import Element
from .build import Column
from .formulas import Formulas
from .general import general_regression
from .neighbors import nearest_neighbors
from .networks import network
from .points import clustering, naive_bayes, support_vectors
from .prediction import Prediction, classes_of
from .regression import regression
from .scope import Scope
from .scorecards import scorecard
from .trees import Forest

__all__ = ["MODEL_READERS", "is_single", "tree_prediction"]


def tree(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """A lone TreeModel."""
    return tree_prediction(f, [model], [scope], model, "sum")


def tree_prediction(
    f: Formulas, models: Sequence[Element], scopes: Sequence[Scope], owner: Element, aggregate: str
) -> Prediction:
    """TreeModels together: their sum or mean, or, for one, its own answer."""
    b = f.builder
    regress = models[0].get("functionName") == "regression"
    classes, data_type = classes_of(owner, scopes[0], lambda: [] if regress else _scores(models))
    forest = Forest(b, scopes[0], None if regress else classes)
    for model, scope in zip(models, scopes, strict=True):
        forest.add(model, scope)
    result = forest.step("trees", aggregate, single=regress and is_single(owner))
    if regress:
        return Prediction(number=result)
    width = len(classes)
    shares = b.gather([Column(result, i) for i in range(width)], "probability")
    if len(models) > 1:
        if not forest.leaves.all_distributed:
            raise Unsupported("Trees are averaged whose Nodes have no ScoreDistribution: their probabilities are not known.")
        return Prediction(classes=classes, data_type=data_type, probabilities=shares)
    own = b.gather([Column(result, width)], "index")
    return Prediction(classes=classes, data_type=data_type, probabilities=shares, index=own)


def is_single(model: Element) -> bool:
    """Does a model compute in float32? The attribute is JPMML-Evaluator's."""
    return model.get("x-mathContext") == "float"


def _scores(models: Sequence[Element]) -> list[str]:
    """The scores and ScoreDistribution values of trees, in order of appearance."""
    found: dict[str, None] = {}
    for model in models:
        queue = [c for c in model.children if c.tag == "Node"]
        while queue:
            node = queue.pop()
            if node.score is not None:
                found.setdefault(node.score)
            for value, _, _ in node.counts or ():
                found.setdefault(value)
            queue.extend(reversed(node.children))
    return list(found)


ModelReader = Callable[[Formulas, Element, Scope], Prediction]
MODEL_READERS: dict[str, ModelReader] = {
    "RegressionModel": regression,
    "TreeModel": tree,
    "NeuralNetwork": network,
    "SupportVectorMachineModel": support_vectors,
    "ClusteringModel": clustering,
    "NaiveBayesModel": naive_bayes,
    "GeneralRegressionModel": general_regression,
    "NearestNeighborModel": nearest_neighbors,
    "Scorecard": scorecard,
}

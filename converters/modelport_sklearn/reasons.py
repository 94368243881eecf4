"""Estimators of scikit-learn that no artifact can answer as, and why; docs/coverage.md lists them."""

from __future__ import annotations

NO_PREDICT = "It labels the rows it was fitted on and has no predict for others."
NO_TRANSFORM = "It places the rows it was fitted on and has no transform for others."
DENSITY = (
    "It has neither predict nor transform: it describes a distribution (score_samples, mahalanobis), which is no prediction."
)
NOT_EXPORTABLE = {
    **dict.fromkeys(("AgglomerativeClustering", "DBSCAN", "HDBSCAN", "OPTICS", "SpectralClustering"), NO_PREDICT),
    **dict.fromkeys(("SpectralBiclustering", "SpectralCoclustering"), NO_PREDICT),
    **dict.fromkeys(("MDS", "ClassicalMDS", "SpectralEmbedding", "TSNE"), NO_TRANSFORM),
    **dict.fromkeys(("EmpiricalCovariance", "GraphicalLasso", "GraphicalLassoCV", "LedoitWolf", "MinCovDet", "OAS"), DENSITY),
    **dict.fromkeys(("ShrunkCovariance", "KernelDensity"), DENSITY),
    "NearestNeighbors": "It finds neighbours among the rows it was fitted on; its answers are row numbers, not predictions.",
    "PatchExtractor": "It changes the number of rows: an answer per row does not exist.",
    "LocallyLinearEmbedding": "transform solves a linear system of its own for every row, which no op of the format does.",
}

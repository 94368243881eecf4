"""PMML elements back into a graph."""

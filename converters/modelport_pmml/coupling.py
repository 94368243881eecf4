"""Pairwise coupling (docs/format.md, section 9) written out round by round."""

from __future__ import annotations

from modelport.graph import Step

from .compiler import Compiler
from .expressions import Expression

__all__ = ["ROUNDS", "Coupling"]

#: rounds that are written. Four settled each of about three million rows of 3 to 15 classes, whatever their pairs said; a row
#: that these do not settle is refused.
ROUNDS = 10


class Coupling:
    """The probabilities of three or more classes from `pairs`, the probabilities that a class wins against a later one."""

    def __init__(self, c: Compiler, step: Step, pairs: list[Expression]) -> None:
        self.c, self.make, self.step = c, c.make, step
        self.classes = step.attributes["classes"]
        self.two = c.make.constant(2.0)
        wins: dict[tuple[int, int], Expression] = {}
        order = [(i, j) for i in range(self.classes) for j in range(i + 1, self.classes)]
        for (i, j), p in zip(order, pairs, strict=True):
            wins[i, j], wins[j, i] = p, self.make.apply("-", self.make.constant(1.0), p)
        self.q = [[self._entry(wins, t, j) for j in range(self.classes)] for t in range(self.classes)]

    def _entry(self, wins: dict[tuple[int, int], Expression], t: int, j: int) -> Expression:
        make = self.make
        if t == j:
            result = make.total([make.apply("*", wins[k, t], wins[k, t]) for k in range(self.classes) if k != t])
        else:
            result = make.apply("*", make.apply("*", wins[j, t], make.constant(-1.0)), wins[t, j])
        result.hint = result.hint or f"{self.step.output}: Q({t}, {j})"
        return result

    def probabilities(self) -> list[Expression]:
        """One column per class: those of the first round that is settled."""
        p = [self.make.constant(1.0 / self.classes)] * self.classes
        rounds = []
        for number in range(ROUNDS):
            products = [self._product(row, p) for row in self.q]
            whole = self._product(p, products)
            settled = self._settled(products, whole)
            settled.hint = f"{self.step.output}: settled after {number}"
            rounds.append((settled, p))
            if number < ROUNDS - 1:
                p = self._swept(p, products, whole)
        self.c.require(self.make.any_of([settled for settled, _ in rounds]))
        result = rounds[-1][1]
        for settled, p in reversed(rounds[:-1]):
            result = [self.make.choose(settled, now, later) for now, later in zip(p, result, strict=True)]
        return result

    def _product(self, x: list[Expression], y: list[Expression]) -> Expression:
        return self.make.total([self.make.apply("*", a, b) for a, b in zip(x, y, strict=True)])

    def _settled(self, products: list[Expression], whole: Expression) -> Expression:
        gaps = [self.make.apply("abs", self.make.apply("-", product, whole)) for product in products]
        return self.make.compare("lessThan", self.make.extreme("max", gaps), self.make.constant(0.005 / self.classes))

    def _swept(self, p: list[Expression], products: list[Expression], whole: Expression) -> list[Expression]:
        """One pass over the classes."""
        make, one = self.make, self.make.constant(1.0)
        for t in range(self.classes):
            own = self.q[t][t]
            step = make.apply("/", make.apply("-", whole, products[t]), own)
            grown = make.apply("+", one, step)
            p = [make.apply("+", x, step) if j == t else x for j, x in enumerate(p)]
            inner = make.apply("+", make.apply("*", step, own), make.apply("*", self.two, products[t]))
            above = make.apply("+", whole, make.apply("*", step, inner))
            whole = make.apply("/", above, make.apply("*", grown, grown))
            sums = [make.apply("+", x, make.apply("*", step, self.q[t][j])) for j, x in enumerate(products)]
            products = [make.apply("/", x, grown) for x in sums]
            p = [make.apply("/", x, grown) for x in p]
        return p

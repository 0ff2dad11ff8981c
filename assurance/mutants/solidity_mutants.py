"""Mutants of the contracts, from the compiler's syntax tree: no check can be forgotten, and none is picked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assurance.mutants.mutant import Mutant, numbered

Node = dict[str, Any]
BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
ENCODERS = frozenset({"encode", "encodePacked"})
CALLER_REPLACED = "caller replaced"


def solidity_mutants(
    root: Path, trees: dict[str, Node], tests_of: Callable[[str, str], tuple[str, ...]]
) -> list[Mutant]:
    """All mutants of the given sources.

    Args:
        root: the repository.
        trees: the compiler's syntax tree of each file, by its path in the repository.
        tests_of: gives the test files for a file and a function in it.
    """
    found: list[Mutant] = []
    for file, tree in trees.items():
        finder = _Finder(root, file, tests_of)
        finder.walk(tree, "")
        found += finder.found
    return list(numbered(found))


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one."""
    for value in node.values():
        items = value if isinstance(value, list) else [value]
        yield from (item for item in items if isinstance(item, dict) and "nodeType" in item)


def descendants(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in children(node):
        yield from descendants(child)


class _Finder:
    """Walks over a syntax tree and notes what can be taken out."""

    def __init__(self, root: Path, file: str, tests_of: Callable[[str, str], tuple[str, ...]]) -> None:
        self.file, self.tests_of = file, tests_of
        self.source = (root / file).read_bytes()
        self.found: list[Mutant] = []
        self.visitors: dict[str, Callable[[Node, str], None]] = {
            "IfStatement": self._if,
            "BinaryOperation": self._operation,
            "Conditional": self._conditional,
            "EmitStatement": self._emit,
            "ExpressionStatement": self._statement,
            "FunctionDefinition": self._function,
            "FunctionCall": self._call,
            "VariableDeclaration": self._constant,
            "MemberAccess": self._caller,
        }

    def walk(self, node: Node, place: str) -> None:
        """Visits a node and all below it; `place` is the function that it is in."""
        if node["nodeType"] in {"FunctionDefinition", "ModifierDefinition"}:
            place = node["name"] or node.get("kind", "")
        visit = self.visitors.get(node["nodeType"])
        if visit:
            visit(node, place)
        for child in children(node):
            # The step of a loop is no check; without it the loop does not end.
            if not (node["nodeType"] == "ForStatement" and child is node.get("loopExpression")):
                self.walk(child, place)

    def _if(self, node: Node, place: str) -> None:
        condition = self._text(node["condition"])
        body = node["trueBody"]
        body = body["statements"][-1] if body["nodeType"] == "Block" and body["statements"] else body
        if body["nodeType"] == "RevertStatement":
            self._add(node["condition"], f"false && ({condition})", "revert dropped", place)
            return
        self._add(node["condition"], f"false && ({condition})", "branch never taken", place)
        self._add(node["condition"], f"true || ({condition})", "branch always taken", place)

    def _operation(self, node: Node, place: str) -> None:
        left, right = node["leftExpression"], node["rightExpression"]
        operator = node["operator"]
        if operator in {"&&", "||"}:
            self._add(node, f"({self._text(left)})", "right operand dropped", place)
            self._add(node, f"({self._text(right)})", "left operand dropped", place)
        if operator in BOUNDS:
            moved = f"{self._text(left)} {BOUNDS[operator]} {self._text(right)}"
            self._add(node, moved, "bound moved", place)

    def _conditional(self, node: Node, place: str) -> None:
        self._add(node, f"({self._text(node['trueExpression'])})", "always the first value", place)
        self._add(node, f"({self._text(node['falseExpression'])})", "always the second value", place)

    def _emit(self, node: Node, place: str) -> None:
        self._drop(node, "event dropped", place)

    def _statement(self, node: Node, place: str) -> None:
        kinds = {"Assignment": "assignment dropped", "UnaryOperation": "step dropped", "FunctionCall": "call dropped"}
        kind = kinds.get(node["expression"]["nodeType"])
        if kind:
            self._drop(node, kind, place)

    def _function(self, node: Node, place: str) -> None:
        for modifier in node["modifiers"]:
            if modifier.get("kind") == "modifierInvocation":
                self._add(modifier, "", "modifier dropped", place)

    def _call(self, node: Node, place: str) -> None:
        """Each value that a digest binds, the tag apart."""
        if node["expression"].get("memberName") not in ENCODERS or "/libraries/" not in self.file:
            return
        arguments = node["arguments"]
        for index, argument in enumerate(arguments[1:], 1):
            rest = [self._text(other) for other in [*arguments[:index], *arguments[index + 1 :]]]
            name = self._text(node["expression"])
            self._add(node, f"{name}({', '.join(rest)})", f"`{self._text(argument)}` not bound", place)

    def _constant(self, node: Node, _place: str) -> None:
        """Each tag and type string."""
        if not node.get("constant"):
            return
        for literal in descendants(node["value"]):
            if literal["nodeType"] == "Literal" and literal["kind"] == "string":
                text = self._text(literal)
                self._add(
                    literal, text[:-2] + ("x" if text[-2] != "x" else "y") + text[-1], "tag changed", node["name"]
                )

    def _caller(self, node: Node, place: str) -> None:
        """Who calls, taken for who signed the transaction: a contract that an owner calls would act for the owner."""
        if (node["expression"].get("name"), node["memberName"]) == ("msg", "sender"):
            self._add(node, "tx.origin", CALLER_REPLACED, place)

    def _drop(self, node: Node, kind: str, place: str) -> None:
        """Replaces a statement, whose semicolon is not part of the node, by an empty block."""
        start, length = self._range(node)
        end = self.source.index(b";", start + length) + 1
        text = self.source[start:end].decode()
        self.found.append(Mutant(self.file, place, kind, start, text, "{}", self.tests_of(self.file, place)))

    def _add(self, node: Node, replacement: str, kind: str, place: str) -> None:
        tests = self.tests_of(self.file, place)
        start, length = self._range(node)
        text = self.source[start : start + length].decode()
        self.found.append(Mutant(self.file, place, kind, start, text, replacement, tests))

    def _text(self, node: Node) -> str:
        start, length = self._range(node)
        return self.source[start : start + length].decode()

    def _range(self, node: Node) -> tuple[int, int]:
        start, length, _ = map(int, node["src"].split(":"))
        return start, length

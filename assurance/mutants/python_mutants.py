"""Mutants of Python modules: guarded `raise`s, calls of checks, their operands and bounds, what a digest binds.

Where rules live, also guards that return instead of raising: filters, predicates, calls and limits.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from assurance.mutants.guards import is_told, passed_argument, passing_guards
from assurance.mutants.mutant import Mutant, numbered

CHECK = re.compile(r"^_?(check|verify|require|expect|refuse)(_|$)")
STEP_CHECKS = frozenset({"equal", "require", "member", "signed", "nonzero"})
"""Methods of `audit_step.Step`, each of which raises when its check fails."""
DIGESTS = frozenset({"keccak256", "sha256", "abi_encode"})
"""Functions whose last argument consists of what a digest binds."""
STRUCTS = frozenset({"as_struct", "place"})
"""Methods that give what the ledger is shown, and what its word of a query binds."""
KEEPING = frozenset({"add", "append", "clear", "pop", "update"})
"""Methods of a list, set or dictionary that change what it holds."""
NOTHING = '(0 if isinstance({0}, int) else bytes(32) if isinstance({0}, bytes) else "0x" + "0" * 40)'
"""A value of the same type, whatever was there."""
BOUNDS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
}


def python_mutants(
    root: Path,
    file: str,
    tests: tuple[str, ...],
    *,
    branches: bool = False,
    state: bool = False,
    guards: bool = False,
) -> list[Mutant]:
    """All mutants of one module.

    Args:
        root: the repository.
        file: the module's path in it.
        tests: the test files that should find them.
        branches: whether conditions that guard no `raise` are changed too.
        state: whether what an object keeps is not kept, and each choice (`a if b else c`) is made one way only, too.
        guards: whether filters, predicates, members of a set, compared pairs, limits and statements that call go, too.
    """
    finder = _Finder(root, file, tests, branches=branches, state=state, guards=guards)
    finder.visit(finder.tree)
    return list(numbered(finder.found))


def emptied_functions(root: Path, file: str) -> list[Mutant]:
    """Each function of a module without what it does: a test that never calls it does not notice."""
    finder = _Emptier(root, file, (), branches=False, state=False, guards=False)
    finder.visit(finder.tree)
    return list(numbered(finder.found))


class _Finder(ast.NodeVisitor):
    """Walks over a module and notes what can be taken out."""

    def __init__(
        self, root: Path, file: str, tests: tuple[str, ...], *, branches: bool, state: bool, guards: bool
    ) -> None:
        self.file, self.tests, self.branches, self.state, self.guards = file, tests, branches, state, guards
        self.source = (root / file).read_bytes()
        self.tree = ast.parse(self.source)
        self.passing = passing_guards(self.tree)
        self.lines = [0, *(match.end() for match in re.finditer(rb"\n", self.source))]
        self.places: list[str] = []
        self.found: list[Mutant] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._enter(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._enter(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.body[-1], ast.Raise):
            self._condition(node.test, "raise dropped")
        elif self.branches:
            self._condition(node.test, "branch never taken")
            self._add(node.test, f"True or ({self._text(node.test)})", "branch always taken")
        elif self.guards and not all(map(self._is_told, node.body)):
            self._add(node.test, f"False and ({self._text(node.test)})", "guard dropped")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and self._is_check(node.value.func):
            self._add(node, "pass", "check dropped")
        elif isinstance(node.value, ast.Call) and self._acts(node.value.func):
            self._add(node, "pass", "call dropped")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assignment(node, node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assignment(node, [node.target])

    def visit_Delete(self, node: ast.Delete) -> None:
        self._assignment(node, node.targets)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if self.state:
            self._add(node, f"({self._text(node.body)})", "always the first choice")
            self._add(node, f"({self._text(node.orelse)})", "always the second choice")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in DIGESTS and node.args:
            self._bound_values(node.args[-1])
        elif name == "update" and self._text(node.func) == "digest.update":
            self._add(node.args[0], 'b""', "value not bound")
        if self.guards:
            self._call_guards(node, name)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """A predicate's answer, whatever it looked at."""
        if self.guards and node.value is not None and _is_answer(node.value):
            self._add(node.value, f"True or ({self._text(node.value)})", "always true")
            self._add(node.value, f"False and ({self._text(node.value)})", "always false")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs if self.guards else []:
            self._add(test, f"(True or ({self._text(test)}))", "filter dropped")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        end = node.slice.upper if isinstance(node.slice, ast.Slice) and node.slice.lower is None else None
        if self.guards and end is not None and _is_limit(end):
            self._add(end, "None", "limit dropped")
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        for element in node.elts if self.guards and len(node.elts) > 1 else []:
            rest = ", ".join(self._text(other) for other in node.elts if other is not element)
            self._add(node, f"{{{rest}}}", f"member dropped, {self._text(element)}")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for value in node.values if self.places[-1:] and self.places[-1] in STRUCTS else []:
            self._add(value, NOTHING.format(self._text(value)), "value not bound")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        if self.branches or self.guards:
            self._operands(node)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if self.branches:
            self._bounds(node)
        if self.guards:
            self._compared_pairs(node)
        self.generic_visit(node)

    def _compared_pairs(self, node: ast.Compare) -> None:
        """Of `(a, b) == (c, d)` each pair: it is always equal."""
        right = node.comparators[0]
        if not (isinstance(node.left, ast.Tuple) and isinstance(right, ast.Tuple)):
            return
        for one, other in zip(node.left.elts, right.elts, strict=False):
            self._add(one, self._text(other), f"not compared with {self._text(other)}")

    def _call_guards(self, node: ast.Call, name: str) -> None:
        """A call that gives its argument back or raises; and the smaller, or larger, of two values."""
        argument = passed_argument(node, self.passing.get(name))
        if argument is not None:
            self._add(node, f"({self._text(argument)})", "guard passed over")
        if name in {"min", "max"} and len(node.args) == 2 and not node.keywords:
            for part in node.args:
                self._add(node, f"({self._text(part)})", f"limit dropped, {self._text(part)}")

    def _enter(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self.places.append(node.name)
        self.generic_visit(node)
        self.places.pop()

    def _assignment(self, node: ast.Assign | ast.AugAssign | ast.Delete, targets: list[ast.expr]) -> None:
        """What a constructor sets is missed at once; a local name likewise."""
        parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        is_kept = self.state and "__init__" not in self.places
        if is_kept and self.places and all(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
            self._add(node, "pass", "assignment dropped")
        self.generic_visit(node)

    def _is_told(self, statement: ast.stmt) -> bool:
        call = statement.value if isinstance(statement, ast.Expr) else None
        return isinstance(call, ast.Call) and is_told(self._text(call.func))

    def _acts(self, function: ast.expr) -> bool:
        """Whether a call by itself keeps something, or does anything but tell what happened."""
        keeps = self.state and isinstance(function, ast.Attribute) and function.attr in KEEPING
        return keeps or (self.guards and not is_told(self._text(function)))

    def _is_check(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute):
            owner = function.value
            is_step = isinstance(owner, ast.Name) and owner.id == "step"
            return bool(CHECK.match(function.attr)) or (is_step and function.attr in STEP_CHECKS)
        return isinstance(function, ast.Name) and bool(CHECK.match(function.id))

    def _bound_values(self, argument: ast.expr) -> None:
        if isinstance(argument, ast.BinOp):
            for part in (argument.left, argument.right):
                self._bound_values(part)
                if not isinstance(part, ast.BinOp):
                    self._add(part, 'b""', "value not bound")
        for part in argument.elts if isinstance(argument, ast.List) else []:
            if isinstance(part, ast.Starred):
                text = f"*({NOTHING.format('each')} for each in {self._text(part.value)})"
            else:
                text = NOTHING.format(self._text(part))
            self._add(part, text, "value not bound")

    def _condition(self, test: ast.expr, kind: str) -> None:
        self._add(test, f"False and ({self._text(test)})", kind)
        for node in ast.walk(test):
            if isinstance(node, ast.BoolOp):
                self._operands(node)
            elif isinstance(node, ast.Compare):
                self._bounds(node)

    def _operands(self, node: ast.BoolOp) -> None:
        neutral = "True" if isinstance(node.op, ast.And) else "False"
        for operand in node.values:
            if not isinstance(operand, ast.Constant):  # a default, not a condition
                self._add(operand, neutral, "operand dropped")

    def _bounds(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if type(operator) in BOUNDS:
                sign, other = BOUNDS[type(operator)]
                start, end = self._offset(left, end=True), self._offset(right)
                text = self.source[start:end].decode()
                self._note(start, text, text.replace(sign, other, 1), f"bound moved, {self._text(node)}")
            left = right

    def _add(self, node: ast.stmt | ast.expr, replacement: str, kind: str) -> None:
        self._note(self._offset(node), self._text(node), replacement, kind)

    def _note(self, start: int, found: str, replacement: str, kind: str) -> None:
        place = ".".join(self.places) or "module"
        mutant = Mutant(self.file, place, kind, start, found, replacement, self.tests)
        if mutant not in self.found:
            self.found.append(mutant)

    def _text(self, node: ast.stmt | ast.expr) -> str:
        return self.source[self._offset(node) : self._offset(node, end=True)].decode()

    def _offset(self, node: ast.stmt | ast.expr, *, end: bool = False) -> int:
        line = node.end_lineno if end else node.lineno
        column = node.end_col_offset if end else node.col_offset
        assert line is not None  # the nodes come from ast.parse, which sets it
        assert column is not None
        return self.lines[line - 1] + column


class _Emptier(_Finder):
    """Notes each function's body, and nothing else."""

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef):
            has_docstring = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
            first, last = node.body[1 if has_docstring else 0], node.body[-1]
            start, end = self._offset(first), self._offset(last, end=True)
            self._note(start, self.source[start:end].decode(), "return None", "emptied")
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                self.visit(part)


def _is_answer(value: ast.expr) -> bool:
    """Whether it is a condition: `a and b`, `a == b`, `not a`."""
    is_not = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    return isinstance(value, ast.BoolOp | ast.Compare) or is_not


def _is_limit(value: ast.expr) -> bool:
    """Whether it is a number or a constant by its name."""
    is_number = isinstance(value, ast.Constant) and isinstance(value.value, int)
    return is_number or (isinstance(value, ast.Name) and value.id.isupper())

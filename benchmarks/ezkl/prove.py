"""Runs in EZKL's own virtual environment: proves one network on one input, and prints seconds and bytes as JSON.

Arguments: a folder with network.onnx and input.json; all that EZKL makes, its keys among it, is left there.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ezkl


async def timed(work: Callable[..., Any], *arguments: object, **named: object) -> tuple[float, Any]:
    """Seconds and result of one step, which may be a coroutine."""
    begun = time.perf_counter()
    result = work(*arguments, **named)
    if inspect.isawaitable(result):
        result = await result
    return time.perf_counter() - begun, result


async def main(folder: Path) -> dict[str, Any]:
    """All steps in their order."""
    network, settings, circuit, srs = (str(folder / n) for n in ("network.onnx", "settings.json", "circuit", "srs"))
    vk, pk, witness, proof = (str(folder / n) for n in ("vk", "pk", "witness.json", "proof.json"))
    given = str(folder / "input.json")
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.param_visibility, arguments.output_visibility = "private", "fixed", "public"
    await timed(ezkl.gen_settings, network, settings, py_run_args=arguments)
    calibrated, _ = await timed(ezkl.calibrate_settings, given, network, settings, "resources", scales=[7])
    await timed(ezkl.compile_circuit, network, circuit, settings)
    rows = json.loads(Path(settings).read_text())["run_args"]["logrows"]
    srs_seconds, _ = await timed(ezkl.gen_srs, srs, rows)
    keys, _ = await timed(ezkl.setup, circuit, vk, pk, srs)
    witnessed, _ = await timed(ezkl.gen_witness, given, circuit, witness)
    proved, _ = await timed(ezkl.prove, witness, circuit, pk, proof, srs)
    verified, holds = await timed(ezkl.verify, proof, settings, vk, srs)
    if not holds:
        raise SystemExit("the proof does not verify")
    return {
        "logrows": rows,
        "set_up": calibrated + srs_seconds + keys,
        "witness": witnessed,
        "prove": proved,
        "verify": verified,
        "proof_bytes": Path(proof).stat().st_size,
        "key_bytes": Path(pk).stat().st_size,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from batteries.small_models import small_file, small_model
from runtime.saved_runs import alike, save
from unrolled import runtime
from unrolled.tasks import TASKS

TOOLS = Path(__file__).parent.parent.parent / "tools"
# A process that could not find torch, and what it answers.
ALONE = """
import json, sys
sys.modules["torch"] = None
from pathlib import Path
from unrolled.runtime import load
print(json.dumps([(lambda model: model.answers(model.read(Path(file))))(load(run, engine=engine))
                  for run, file, engine in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_runtime", TOOLS / "build_runtime.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_modules_are_few_and_load_no_torch(builder: ModuleType) -> None:
    found = {path.relative_to(builder.PACKAGE).as_posix() for path in builder.modules()}
    assert not [name for name in found if builder.needs_torch(builder.PACKAGE / name)]
    assert {"engine/cpu/kernel.py", "tasks/folder.py", "streams/running.py", "data/table.py"} <= found
    assert not [name for name in found if name.startswith(("layers", "inspect", "cli", "export", "serve", "bench"))]
    assert builder.needs_torch(builder.PACKAGE / "layers" / "__init__.py")


def test_its_modules_are_enough_for_every_task(builder: ModuleType, tmp_path: Path) -> None:
    builder.lay_out(tmp_path / "built")
    asked, wanted = [], []
    for task in TASKS:
        folder = tmp_path / task
        folder.mkdir()
        file = small_file(task, folder)
        options = {"target": ("sold",)} if task == "forecast" else {}
        run = save(small_model(task, file, **options), folder / "run")
        if task in ("tag", "language", "translate"):
            file = folder / "lines.txt"
            file.write_text("the\ndog\n\nCat\n" if task == "tag" else "ab cd\nd\n")
        # Kernels are compiled for the copy too, once is enough.
        asked.append((str(run), str(file), "compiled" if task == "regress" else "numpy"))
        model = runtime.load(run)
        wanted.append(model.answers(model.read(file)))
    surroundings = {**os.environ, "PYTHONPATH": str(tmp_path / "built" / "src")}
    command = [sys.executable, "-c", ALONE, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    alike(json.loads(done.stdout), json.loads(json.dumps(wanted)))
    for name, needed in (("Recurrent", "unrolled.layers"), ("Classifier", "unrolled.tasks.estimators")):
        code = f"import sys; sys.modules['torch'] = None; import unrolled; unrolled.{name}"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=tmp_path, check=False)
        assert f"unrolled.{name} needs {needed}; install unrolled, not" in done.stderr.splitlines()[-1]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The key under which the guest's image is cached, and what the image is made of."""

import dataclasses
from pathlib import Path

import pytest
from rig import recipe

PYPROJECT = """
[project]
dependencies = ["numpy>=2", "click"]
[project.optional-dependencies]
service = ["systemd-python>=235"]
test = ["pytest", "numpy>=2"]
bench = ["matplotlib"]
"""


@pytest.fixture
def ingredients(tmp_path: Path) -> recipe.Ingredients:
    module = tmp_path / "module"
    module.mkdir()
    (module / "Kbuild").write_text("obj-m := gpio-sim.o\n")
    return recipe.Ingredients(module, ("numpy",), "numpy==2.4.6\n")


def test_the_key_is_stable(ingredients: recipe.Ingredients) -> None:
    assert ingredients.key == ingredients.key
    assert len(ingredients.key) == recipe.KEY_CHARS


@pytest.mark.parametrize("changes", [{"requirements": ("numpy", "click")}, {"constraints": "numpy==2.4.7\n"}])
def test_the_key_follows_the_python_packages(ingredients: recipe.Ingredients, changes: dict[str, object]) -> None:
    assert dataclasses.replace(ingredients, **changes).key != ingredients.key


def test_the_key_follows_content_name_and_mode_of_files(ingredients: recipe.Ingredients) -> None:
    keys = {ingredients.key}
    kbuild = ingredients.module / "Kbuild"
    kbuild.write_text("obj-m := other.o\n")
    keys.add(ingredients.key)
    kbuild.chmod(0o755)
    keys.add(ingredients.key)
    kbuild.rename(ingredients.module / "Makefile")
    keys.add(ingredients.key)
    assert len(keys) == 4


def test_requirements_are_the_projects_with_the_extras_of_the_guest(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    found = recipe.requirements(tmp_path / "pyproject.toml")
    assert found == ("click", "numpy>=2", "pytest", "systemd-python>=235")


def test_what_is_laid_out_for_the_chroot(ingredients: recipe.Ingredients, tmp_path: Path) -> None:
    work = tmp_path / "work"
    ingredients.lay_out(work)
    assert (work / "requirements.txt").read_text() == "numpy\n"
    assert (work / "constraints.txt").read_text() == "numpy==2.4.6\n"
    assert (work / "module" / "Kbuild").exists()
    assert (work / "in-chroot").stat().st_mode & 0o100


def test_lists_are_read_without_comments(ingredients: recipe.Ingredients) -> None:
    assert "linux-image-amd64" in ingredients.packages
    assert not [name for name in ingredients.packages if "#" in name or " " in name]

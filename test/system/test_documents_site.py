# SPDX-License-Identifier: Apache-2.0
"""The site of the documents, built as `make docs` builds it."""

from __future__ import annotations

from pathlib import Path
import re

from build_site import bend_links, build
import pytest

LOADED = re.compile(
    r'<(?:script|img|iframe)[^>]* src="?(https?:[^" >]*)'
    r'|<link[^>]*(?:stylesheet|preload)[^>]* href="?(https?:[^" >]*)'
)


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site; a warning of the generator would have ended the build."""
    out = tmp_path_factory.mktemp('documents') / 'site'
    assert 'Build finished' in build(out)
    return out


def test_site_has_the_four_kinds_of_pages(site: Path) -> None:
    """Tutorials, how-to, reference, explanation, and the film on the first page."""
    for page in (
        'tutorials/first_demo.html',
        'how-to/add_a_robot.html',
        'reference/topics.html',
        'explanation/design.html',
    ):
        assert (site / page).is_file(), page
    assert 'images/demo.gif' in (site / 'index.html').read_text(encoding='utf-8')


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """It is read in a laboratory without a network: no fonts, scripts or images of others."""
    pages = sorted(site.rglob('*.html'))
    assert len(pages) > 30
    for page in pages:
        loaded = LOADED.findall(page.read_text(encoding='utf-8'))
        assert loaded == [], page.name


def test_files_outside_of_the_folder_become_pages(site: Path) -> None:
    """The description of the checkpoints is a page, with its images, and others link to it."""
    page = (site / 'reference' / 'committed_checkpoints.html').read_text(encoding='utf-8')
    assert '../images/futures.png' in page
    evaluate = (site / 'how-to' / 'evaluate.html').read_text(encoding='utf-8')
    assert '../reference/committed_checkpoints.html#what-was-measured' in evaluate


def test_links_are_bent_between_pages_only() -> None:
    """Other files and other sites keep their links."""
    text = '[a](../docs/how-to/train.md#x) [b](aloha_sim/policy.json) [c](https://x.org) [d](#y)'
    bent = bend_links(text, 'models/README.md', 'reference/committed_checkpoints.md')
    assert (
        bent == '[a](../how-to/train.md#x) [b](aloha_sim/policy.json) [c](https://x.org) [d](#y)'
    )

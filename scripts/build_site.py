# SPDX-License-Identifier: Apache-2.0
"""The site of the documents, from docs/ and the pages of the repository that lie elsewhere.

python scripts/build_site.py [OUT]    by default site/

Checkpoints are described beside them, and rules and changes stand where people look for them
first. They become pages of the site, and links to them and from them are bent to where they lie
there, so that the same text works in the repository and in the site. A link or an anchor that
leads nowhere ends the build.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # file of the repository: page of the site
    'models/README.md': 'reference/committed_checkpoints.md',
    'CONTRIBUTING.md': 'explanation/contributing.md',
    'CHANGELOG.md': 'reference/changes.md',
}
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])')  # target of a relative link


def bend_links(text: str, source: str, page: str) -> str:
    """Return Markdown whose links between files of the repository are those between pages.

    Args:
        text: Markdown with links relative to ``source``.
        source: Path of the file in the repository.
        page: Path of its page in the site.
    """

    def bend(link: re.Match[str]) -> str:
        target = posixpath.normpath(PurePosixPath(source).parent / link[1])
        if target not in PAGES and not target.startswith('docs/'):
            return link[1]
        place = PAGES.get(target, target.removeprefix('docs/'))
        return posixpath.relpath(place, PurePosixPath(page).parent)

    return LINK.sub(bend, text)


def stage(folder: Path) -> None:
    """Write all pages of the site and the configuration of its generator.

    Args:
        folder: Folder to write to, which does not hold any yet.
    """
    shutil.copytree(ROOT / 'docs', folder / 'docs')
    shutil.copy(ROOT / 'mkdocs.yml', folder)
    pages = {f'docs/{p.relative_to(ROOT / "docs")}': p for p in (ROOT / 'docs').rglob('*.md')}
    sources = {**pages, **{name: ROOT / name for name in PAGES}}
    for source, file in sources.items():
        page = PAGES.get(source, source.removeprefix('docs/'))
        text = bend_links(file.read_text(encoding='utf-8'), source, page)
        (folder / 'docs' / page).write_text(text, encoding='utf-8')


def build(out: Path) -> str:
    """Build the site and return what the generator printed.

    Args:
        out: Folder of the site; what was in it is replaced.

    Raises:
        SystemExit: The generator refuses a page, a link or an anchor, which is printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage(folder)
        command = [sys.executable, '-m', 'zensical', 'build', '--strict', '--clean']
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(result.stdout + result.stderr)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(folder / 'site', out)
    return result.stdout


def main() -> None:
    """Build the site and print where it is."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'site'
    print(build(out), end='')
    print(f'{out}/index.html; with a working search: python -m http.server --directory {out}')


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""Build and install the package; name, version and description stand in package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
NAME = MANIFEST.findtext('name')
LINES = (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
REQUIREMENTS = [text for line in LINES if (text := line.partition('#')[0].strip())]
NODES = sorted(f.stem for f in (ROOT / NAME / 'nodes').glob('[a-z]*.py'))  # one per file


def data_files() -> list[tuple[str, list[str]]]:
    """Return what goes to share/, folder by folder, as paths relative to this file."""
    share = Path('share', NAME)
    rows = [
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (str(share), ['package.xml']),
    ]
    for top in ('launch', 'config', 'models'):
        for folder in sorted(p for p in ROOT.glob(f'{top}/**') if p.is_dir()):
            inside = folder.relative_to(ROOT)
            files = sorted(f for f in folder.iterdir() if f.is_file())
            if files and not {'__pycache__', 'engines'} & set(inside.parts):
                rows.append((str(share / inside), [str(inside / f.name) for f in files]))
    return rows


setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=MANIFEST.findtext('description'),
    maintainer=MANIFEST.findtext('maintainer'),
    maintainer_email=MANIFEST.find('maintainer').get('email'),
    license=MANIFEST.findtext('license'),
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    data_files=data_files(),
    python_requires='>=3.10',
    install_requires=REQUIREMENTS,
    zip_safe=False,
    entry_points={
        'console_scripts': [
            f'cosmos-policy = {NAME}.cli:main',
            *(f'{node} = {NAME}.nodes.{node}:main' for node in NODES),
        ]
    },
)

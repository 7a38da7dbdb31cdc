# SPDX-License-Identifier: Apache-2.0
"""The page of ``cosmos-policy report``: whole, on its own, and what a browser makes of it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys

from bags import write_rollout
from cosmos_policy_ros.cli.report import Report, run
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.report.charts import histogram, nice_ticks, thin_out
from cosmos_policy_ros.types import ConfigError
import numpy as np
from PIL import Image
import pytest
from samples import ROBOT, sample_episode

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
AUDIT = {'topics': {'/high/image_raw': {'dropped': 3}}, 'complete': False}
# Moves the pointer over a chart, sorts the table and enlarges a picture, as a reader would.
PROBE = """<script>
const chart = document.querySelector('svg.chart');
chart.scrollIntoView();
const place = chart.getBoundingClientRect();
chart.dispatchEvent(new PointerEvent('pointermove', {bubbles: true,
  clientX: place.left + place.width / 2, clientY: place.top + place.height / 2}));
document.body.dataset.tip = document.getElementById('tip').textContent;
document.querySelectorAll('th[data-sort]')[3].click();
document.body.dataset.first = document.querySelector('#episodes tbody td').textContent;
document.querySelector('.images img').click();
document.body.dataset.opened = document.querySelector('dialog').open;
dialog.close();
scrollTo(0, 0);
document.body.dataset.errors = window.errors.join('; ') || 'none';
</script></body>"""
CATCH = '<script>window.errors=[];onerror=(m)=>{window.errors.push(m)}</script></head>'


YAML = 'name: aloha_sim\ncontrol_rate_hz: 50.0\n'  # a file among the metadata


class Page(HTMLParser):
    """What a page holds; refuses tags that are closed wrongly."""

    def __init__(self, path: Path) -> None:
        """Read it."""
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.classes: Counter[str] = Counter()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = {name: value or '' for name, value in attrs}
        self.tags[tag] += 1
        self.classes.update(given.get('class', '').split())
        self.ids += [given['id']] if 'id' in given else []
        self.links += [given[name] for name in ('href', 'src') if name in given]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of SVG that has nothing inside."""
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All text."""
        return ' '.join(self.texts)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set: a whole rollout, one without outcome, one cut off."""
    folder = tmp_path_factory.mktemp('data') / 'lift'
    folder.mkdir()
    write_rollout(
        folder / 'episode_0', operator_id='Ada', audit=json.dumps(AUDIT), robot_yaml=YAML
    )
    write_rollout(folder / 'episode_1', success='unknown', robot='another')
    write_rollout(folder / 'episode_2')
    storage = next((folder / 'episode_2').glob('*.mcap'))
    storage.write_bytes(storage.read_bytes()[:5000])
    return folder


@pytest.fixture(scope='module')
def out(folder: Path) -> Path:
    """Return the report of the data set."""
    path = folder.parent / 'report.html'
    assert run(Report((folder,), path, n_images=3)) == 0
    return path


@pytest.fixture(scope='module')
def page(out: Path) -> Page:
    """Return the page of the data set."""
    return Page(out)


def test_page_is_whole_and_loads_nothing(page: Page) -> None:
    """Every link stays in the page or brings its data along."""
    outside = [link for link in page.links if not link.startswith(('#', 'data:'))]
    assert outside == []
    assert '@import' not in page.source
    assert 'url(' not in page.source
    inside = {link[1:] for link in page.links if link.startswith('#')}
    assert inside == {'top', 'episode_0', 'episode_1'}
    assert inside <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_text_of_a_bag_cannot_become_markup(page: Page) -> None:
    """The task is <lift> in angle brackets."""
    assert page.tags['the'] == 0
    assert 'lift <the> cube' in page.text


def test_damaged_bag_is_named_with_its_reason(page: Page) -> None:
    """It is not dropped from the table."""
    assert page.classes['damaged'] == 1
    assert 'episode_2' in page.text
    assert 'cannot be read' in page.text
    assert page.classes['episode'] == 2


def test_summary_counts_what_was_judged(page: Page) -> None:
    """One success of one judged episode; one gap of the known robot; two whole episodes."""
    text = re.sub(r'\s+', ' ', page.text)
    for fact in ('2 episodes', '100 % success, 1 of 1 judged', '1 gaps', '640 ms longest gap'):
        assert fact in text


def test_every_camera_has_images(page: Page) -> None:
    """Three cameras, three times, two episodes; and the empty one that is enlarged into."""
    assert page.tags['img'] == 3 * 3 * 2 + 1
    assert sum(link.startswith('data:image/jpeg;base64,') for link in page.links) == 18


def test_known_robot_has_limits_and_measured_joints(page: Page) -> None:
    """14 joints and 2 speeds twice, values and seams twice; measured only of the known robot."""
    assert page.source.count('class="chart"') == 2 * (14 + 2 + 2)
    assert page.source.count('data-name="measured"') == 14 + 2
    assert page.source.count('data-name="command"') == 2 * (14 + 2)
    assert '-1.85 … 1.26 rad' in page.text


def test_flags_say_how_long_they_were_true(page: Page) -> None:
    """The simulator was content from 1.0 s to the end at 1.99 s."""
    assert page.texts.count('true for 1.0 s') == 2


def test_metadata_and_the_audit_of_the_recorder_are_shown(page: Page) -> None:
    """Nested facts have the path that leads to them."""
    text = re.sub(r'\s+', ' ', page.text)
    assert 'operator_id Ada' in text
    assert f'<summary>robot_yaml</summary><pre>{YAML}</pre>' in page.source
    assert 'topics /high/image_raw dropped 3' in text
    assert 'complete False' in text


def test_single_damaged_bag_is_a_page_and_status_1(folder: Path, tmp_path: Path) -> None:
    """Nothing could be read, and the page says why."""
    assert run(Report((folder / 'episode_2',), tmp_path / 'one.html')) == 1
    assert 'cannot be read' in Page(tmp_path / 'one.html').text


def test_folder_without_bags_is_refused(tmp_path: Path) -> None:
    """The message says how to get some."""
    with pytest.raises(ConfigError, match=r'no episodes in .*demonstrate'):
        run(Report((tmp_path,), tmp_path / 'report.html'))


def test_command_is_one_line_for_a_mistake(tmp_path: Path) -> None:
    """Exit status 1."""
    command = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'report']
    done = subprocess.run(
        [*command, str(tmp_path / 'none')], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr == f'cosmos-policy: no file or folder {tmp_path}/none; '
        'give a recording or a folder of recordings\n'
    )


def test_peaks_survive_thinning_out() -> None:
    """One high sample among 10000 is still there."""
    values = np.zeros(10000)
    values[4321] = 5.0
    time_s, thinned = thin_out(np.arange(10000.0), values, 100)
    assert len(thinned) <= 100
    assert thinned.max() == 5.0
    assert (np.diff(time_s) > 0).all()


def test_ticks_are_round_numbers() -> None:
    """At most as many as asked for."""
    assert nice_ticks(-0.13, 1.04, 3) == [0.0, 0.5, 1.0]


def test_histogram_of_equal_numbers_has_one_bar() -> None:
    """And none of a single number."""
    assert histogram('Length', [3.0, 3.0, 3.0], 's').count('height="0.0"') == 11
    assert histogram('Length', [3.0], 's') == ''


def browse(html: Path, *words: str) -> str:
    """Open a file in a headless browser and return what it prints."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f'no browser on PATH, looked for {", ".join(BROWSERS)}')
    options = ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=3000']
    options += [f'--user-data-dir={html.parent}/profile', '--window-size=1400,1000', *words]
    done = subprocess.run(
        [browser, *options, html.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_browser_runs_the_page_without_errors(out: Path, tmp_path: Path) -> None:
    """The script shows numbers under the pointer, sorts the table and enlarges pictures."""
    text = out.read_text(encoding='utf-8').replace('</head>', CATCH, 1)
    text = PROBE.join(text.rsplit('</body>', 1))
    (tmp_path / 'probed.html').write_text(text, encoding='utf-8')
    dom = browse(tmp_path / 'probed.html', '--dump-dom')
    assert 'data-ready="yes"' in dom
    assert 'data-errors="none"' in dom
    tip = r'data-tip="0\.9\d s +· +candidate 0\.400 +· +chosen 0\.400"'
    assert re.search(tip, dom)
    assert 'data-first="episode_2"' in dom
    assert 'data-opened="true"' in dom
    assert len(re.findall(r'<section class="episode"', dom)) == 2


def test_browser_draws_the_page(out: Path, tmp_path: Path) -> None:
    """A picture of the asked size with text, lines and colours in it."""
    shutil.copy(out, tmp_path / 'report.html')
    browse(tmp_path / 'report.html', f'--screenshot={tmp_path}/shot.png', '--hide-scrollbars')
    with Image.open(tmp_path / 'shot.png') as image:
        pixels = np.asarray(image.convert('RGB')).astype(int)
    assert pixels.shape == (1000, 1400, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200
    assert np.ptp(pixels, axis=2).max() > 80  # something that is not grey


def test_rows_are_shown_like_bags(tmp_path: Path) -> None:
    """An HDF5 file of a robot that is given: its images, joints and commands, and no gaps."""
    write_hdf5(tmp_path / 'episode_0.hdf5', sample_episode(), ROBOT)
    path = tmp_path / 'report.html'
    assert run(Report((tmp_path,), path, ROBOT_FILE)) == 0
    text = path.read_text(encoding='utf-8')
    assert 'episode_0.hdf5' in text
    assert text.count('<figure><img') == 9
    assert 'move the cube' in text


def test_rows_without_a_robot_file_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the option."""
    write_hdf5(tmp_path / 'episode_0.hdf5', sample_episode(), ROBOT)
    assert run(Report((tmp_path,), tmp_path / 'report.html')) == 1
    assert 'rows are read by the joints of a robot file; give it with --robot' in (
        capsys.readouterr().err
    )

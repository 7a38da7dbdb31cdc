# SPDX-License-Identifier: Apache-2.0
"""T5's encoder on new instructions, by a tiny one of random weights."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from cosmos_policy_ros.cli import main
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.config import read_config, write_config
from cosmos_policy_ros.core.official.text_encoder import add_tasks, encode_tasks
from cosmos_policy_ros.core.text import load_text_embeddings
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.training_data import _embed
from cosmos_policy_ros.types import ConfigError
import pytest
from safetensors.torch import load_file, save_file
from samples import ROBOT
from tiny import save_tiny_checkpoint, TASK
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

WORDS = ('<pad>', '</s>', '<unk>', 'fold', 'the', 'shirt', 'open', 'door')
N_TOKENS, WIDTH = 6, 8


def save_encoder(folder: Path, width: int = WIDTH) -> T5EncoderModel:
    """Write a random encoder and its tokenizer as T5-11B is published."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token='<unk>'))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single='$A </s>', special_tokens=[('</s>', 1)])
    special = {'pad_token': '<pad>', 'eos_token': '</s>', 'unk_token': '<unk>'}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {'d_model': width, 'd_kv': 4, 'd_ff': 16, 'num_layers': 2, 'num_heads': 2}
    network = T5EncoderModel(T5Config(vocab_size=len(WORDS), **sizes)).eval()
    network.save_pretrained(folder)
    return network


@pytest.fixture(scope='module')
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny encoder."""
    folder = tmp_path_factory.mktemp('t5')
    save_encoder(folder)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint whose text an encoder of this width made, in bfloat16."""
    folder = tmp_path / 'checkpoint'
    save_tiny_checkpoint(folder, ROBOT, text_encoder='t5-11b')
    file = folder / 'text_embeddings.safetensors'
    save_file({TASK: torch.randn(N_TOKENS, WIDTH).bfloat16()}, file)
    return folder


def test_embedding_is_that_of_the_official_way(encoder: Path) -> None:
    """Padded to its length with a mask, zeros beyond the last token: three words and the end."""
    got = encode_tasks(['fold the shirt'], encoder, N_TOKENS, precision='float32')
    network = T5EncoderModel.from_pretrained(encoder).eval()
    ids = torch.tensor([[3, 4, 5, 1, 0, 0]])
    with torch.inference_mode():
        mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
        want = network(input_ids=ids, attention_mask=mask).last_hidden_state[0]
    embedding = got['fold the shirt']
    assert embedding.shape == (N_TOKENS, WIDTH)
    torch.testing.assert_close(embedding[:4], want[:4], atol=1e-6, rtol=0)
    assert embedding[:4].abs().min(dim=1).values.min() > 0
    assert embedding[4:].abs().max() == 0


def test_command_adds_tasks_to_a_checkpoint(
    encoder: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Beside the tasks that are there, in their precision; the policy plans them then."""
    words = ['embed', 'fold the shirt', 'open the door', '--encoder', str(encoder)]
    monkeypatch.setattr('sys.argv', ['cosmos-policy', *words, '--out', str(checkpoint)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code in (0, None)
    assert "knows 'open the door'" in capsys.readouterr().out
    stored = load_file(checkpoint / 'text_embeddings.safetensors')
    assert {e.dtype for e in stored.values()} == {torch.bfloat16}
    text = load_checkpoint(checkpoint).text
    assert set(text.tasks) == {TASK, 'fold the shirt', 'open the door'}
    assert not torch.equal(text.lookup('fold the shirt'), text.lookup('open the door'))


def test_a_task_that_is_known_is_not_encoded_again(encoder: Path, checkpoint: Path) -> None:
    """Nor one twice, nor none; nothing changes."""
    before = (checkpoint / 'text_embeddings.safetensors').read_bytes()
    for tasks in ([TASK], ['fold', 'fold'], [' '], []):
        with pytest.raises(ConfigError, match='wanted are new tasks, each once'):
            add_tasks(checkpoint, tasks, encoder)
    assert (checkpoint / 'text_embeddings.safetensors').read_bytes() == before


def test_a_checkpoint_of_random_text_takes_no_embedding(encoder: Path, checkpoint: Path) -> None:
    """What it was never trained on means nothing to it."""
    config = replace(read_config(checkpoint / 'policy.json'), text_encoder='')
    write_config(checkpoint / 'policy.json', config)
    with pytest.raises(ConfigError, match='its embeddings are random numbers'):
        add_tasks(checkpoint, ['fold'], encoder)


def test_another_encoder_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    """T5-base instead of T5-11B; a folder of something else; none."""
    save_encoder(tmp_path / 'wide', width=16)
    with pytest.raises(ConfigError, match=r'makes embeddings of width 16, those of .* have 8'):
        add_tasks(checkpoint, ['fold'], tmp_path / 'wide')
    with pytest.raises(ConfigError, match=r'no T5 in .*google-t5/t5-11b'):
        add_tasks(checkpoint, ['fold'], tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
    with pytest.raises(ConfigError, match='does not hold the encoder of a T5'):
        add_tasks(checkpoint, ['fold'], tmp_path)


def test_training_refuses_random_text_for_official_weights(checkpoint: Path) -> None:
    """A known task keeps its embedding; a new one names the command that makes it."""
    start = load_checkpoint(checkpoint)
    assert torch.equal(_embed(TASK, TrainConfig(), start), start.text.lookup(TASK))
    with pytest.raises(ConfigError, match="cosmos-policy embed 'fold the shirt' --encoder"):
        _embed('fold the shirt', TrainConfig(), start)


def test_training_of_our_own_keeps_random_text(checkpoint: Path) -> None:
    """Numbers that stand for the instruction, the same on every machine."""
    start = load_checkpoint(checkpoint)
    start = start._replace(config=replace(start.config, text_encoder=''))
    assert _embed('fold the shirt', TrainConfig(), start).shape == (N_TOKENS, WIDTH)
    assert load_text_embeddings(checkpoint / 'text_embeddings.safetensors').tasks == (TASK,)

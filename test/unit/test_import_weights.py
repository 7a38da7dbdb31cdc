# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's files to a checkpoint folder, on random weights under the official names."""

from __future__ import annotations

from dataclasses import replace
import io
import json
import os
from pathlib import Path
import pickle
import re
import sys
from typing import Any

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.cli import main
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.config import ImageRecipe, PolicyConfig
from cosmos_policy_ros.core.normalize import write_stats
from cosmos_policy_ros.core.official.checkpoint import (
    import_checkpoint,
    read_transformer,
    read_vae,
    Sources,
)
from cosmos_policy_ros.core.official.names import (
    TRANSFORMER_2B,
    transformer_names,
    vae_names,
    VAE_WAN,
)
from cosmos_policy_ros.core.official.presets import preset, PRESETS
from cosmos_policy_ros.core.official.release import find_parts
from cosmos_policy_ros.core.official.tensor_files import read_torch_file, write_safetensors
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import pytest
from safetensors.torch import load_file, save_file
from tiny import TASK, tiny_config, tiny_observation, tiny_stats, tiny_transformer, tiny_vae
import torch

ALOHA = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha.yaml'
CONFIG = tiny_config(independent_frames=False)
TINY = {**TRANSFORMER_2B, **{k: v for k, v in tiny_transformer().config.items() if k[0] != '_'}}
TINY_VAE = {k: v for k, v in tiny_vae().config.items() if k[0] != '_'}

# Diffusers name -> official name, written down here once more so that the converter's own table
# is not its own judge.
TRANSFORMER = {
    'patch_embed.proj.weight': 'x_embedder.proj.1.weight',
    'time_embed.t_embedder.linear_1.weight': 't_embedder.1.linear_1.weight',
    'time_embed.t_embedder.linear_2.weight': 't_embedder.1.linear_2.weight',
    'time_embed.norm.weight': 't_embedding_norm.weight',
    'norm_out.linear_1.weight': 'final_layer.adaln_modulation.1.weight',
    'norm_out.linear_2.weight': 'final_layer.adaln_modulation.2.weight',
    'proj_out.weight': 'final_layer.linear.weight',
}
BLOCK = {
    'norm1.linear_1.weight': 'adaln_modulation_self_attn.1.weight',
    'norm1.linear_2.weight': 'adaln_modulation_self_attn.2.weight',
    'norm2.linear_1.weight': 'adaln_modulation_cross_attn.1.weight',
    'norm2.linear_2.weight': 'adaln_modulation_cross_attn.2.weight',
    'norm3.linear_1.weight': 'adaln_modulation_mlp.1.weight',
    'norm3.linear_2.weight': 'adaln_modulation_mlp.2.weight',
    'attn1.to_q.weight': 'self_attn.q_proj.weight',
    'attn1.to_k.weight': 'self_attn.k_proj.weight',
    'attn1.to_v.weight': 'self_attn.v_proj.weight',
    'attn1.norm_q.weight': 'self_attn.q_norm.weight',
    'attn1.norm_k.weight': 'self_attn.k_norm.weight',
    'attn1.to_out.0.weight': 'self_attn.output_proj.weight',
    'attn2.to_q.weight': 'cross_attn.q_proj.weight',
    'attn2.to_k.weight': 'cross_attn.k_proj.weight',
    'attn2.to_v.weight': 'cross_attn.v_proj.weight',
    'attn2.norm_q.weight': 'cross_attn.q_norm.weight',
    'attn2.norm_k.weight': 'cross_attn.k_norm.weight',
    'attn2.to_out.0.weight': 'cross_attn.output_proj.weight',
    'ff.net.0.proj.weight': 'mlp.layer1.weight',
    'ff.net.2.weight': 'mlp.layer2.weight',
}


def official_transformer(blocks: int) -> dict[str, str]:
    """Return diffusers name -> official name of a transformer."""
    names = {ours: f'net.{theirs}' for ours, theirs in TRANSFORMER.items()}
    for i in range(blocks):
        for ours, theirs in BLOCK.items():
            names[f'transformer_blocks.{i}.{ours}'] = f'net.blocks.{i}.{theirs}'
    return names


def official_shapes_2b() -> dict[str, tuple[int, ...]]:
    """Return the released transformer as its modules define it: official name -> shape."""
    wide, text, lora = 2048, 1024, 256
    shapes: dict[str, tuple[int, ...]] = {
        'net.x_embedder.proj.1.weight': (wide, (16 + 1 + 1) * 2 * 2),
        'net.t_embedder.1.linear_1.weight': (wide, wide),
        'net.t_embedder.1.linear_2.weight': (3 * wide, wide),
        'net.t_embedding_norm.weight': (wide,),
        'net.final_layer.linear.weight': (16 * 2 * 2, wide),
        'net.final_layer.adaln_modulation.1.weight': (lora, wide),
        'net.final_layer.adaln_modulation.2.weight': (2 * wide, lora),
    }
    for i in range(28):
        block = f'net.blocks.{i}.'
        for attention, context in (('self_attn', wide), ('cross_attn', text)):
            shapes[f'{block}{attention}.q_proj.weight'] = (wide, wide)
            shapes[f'{block}{attention}.k_proj.weight'] = (wide, context)
            shapes[f'{block}{attention}.v_proj.weight'] = (wide, context)
            shapes[f'{block}{attention}.output_proj.weight'] = (wide, wide)
            shapes[f'{block}{attention}.q_norm.weight'] = (128,)
            shapes[f'{block}{attention}.k_norm.weight'] = (128,)
        shapes[f'{block}mlp.layer1.weight'] = (4 * wide, wide)
        shapes[f'{block}mlp.layer2.weight'] = (wide, 4 * wide)
        for part in ('self_attn', 'cross_attn', 'mlp'):
            shapes[f'{block}adaln_modulation_{part}.1.weight'] = (lora, wide)
            shapes[f'{block}adaln_modulation_{part}.2.weight'] = (3 * wide, lora)
    return shapes


def official_vae(base: int, z: int, mult: list[int], n: int, time: list[bool]) -> dict[str, Any]:
    """Return the Wan autoencoder as its modules define it: official name -> shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, into: int, *kernel: int) -> None:
        shapes[f'{name}.weight'] = (out, into, *kernel)
        shapes[f'{name}.bias'] = (out,)

    def residual(name: str, into: int, out: int) -> None:
        shapes[f'{name}.residual.0.gamma'] = (into, 1, 1, 1)
        convolution(f'{name}.residual.2', out, into, 3, 3, 3)
        shapes[f'{name}.residual.3.gamma'] = (out, 1, 1, 1)
        convolution(f'{name}.residual.6', out, out, 3, 3, 3)
        if into != out:
            convolution(f'{name}.shortcut', out, into, 1, 1, 1)

    def middle(name: str, size: int) -> None:
        residual(f'{name}.0', size, size)
        shapes[f'{name}.1.norm.gamma'] = (size, 1, 1)
        convolution(f'{name}.1.to_qkv', 3 * size, size, 1, 1)
        convolution(f'{name}.1.proj', size, size, 1, 1)
        residual(f'{name}.2', size, size)

    sizes = [base * m for m in mult]
    convolution('encoder.conv1', base, 3, 3, 3, 3)
    place, into = 0, base
    for stage, out in enumerate(sizes):
        for _ in range(n):
            residual(f'encoder.downsamples.{place}', into, out)
            place, into = place + 1, out
        if stage < len(sizes) - 1:
            convolution(f'encoder.downsamples.{place}.resample.1', out, out, 3, 3)
            if time[stage]:
                convolution(f'encoder.downsamples.{place}.time_conv', out, out, 3, 1, 1)
            place += 1
    middle('encoder.middle', into)
    shapes['encoder.head.0.gamma'] = (into, 1, 1, 1)
    convolution('encoder.head.2', 2 * z, into, 3, 3, 3)
    convolution('conv1', 2 * z, 2 * z, 1, 1, 1)
    convolution('conv2', z, z, 1, 1, 1)
    convolution('decoder.conv1', into, z, 3, 3, 3)
    middle('decoder.middle', into)
    place = 0
    for stage, out in enumerate(reversed(sizes)):
        for _ in range(n + 1):
            residual(f'decoder.upsamples.{place}', into, out)
            place, into = place + 1, out
        if stage < len(sizes) - 1:
            convolution(f'decoder.upsamples.{place}.resample.1', out // 2, out, 3, 3)
            if time[::-1][stage]:
                convolution(f'decoder.upsamples.{place}.time_conv', 2 * out, out, 3, 1, 1)
            place, into = place + 1, out // 2
    shapes['decoder.head.0.gamma'] = (into, 1, 1, 1)
    convolution('decoder.head.2', 3, into, 3, 3, 3)
    return shapes


def name_vae(weights: dict[str, torch.Tensor], n: int) -> dict[str, torch.Tensor]:
    """Return the weights of an autoencoder under official names, by replacing words."""
    words = [
        (r'(resnets\.\d+|down_blocks\.\d+)\.norm1', r'\1.residual.0'),
        (r'(resnets\.\d+|down_blocks\.\d+)\.conv1', r'\1.residual.2'),
        (r'(resnets\.\d+|down_blocks\.\d+)\.norm2', r'\1.residual.3'),
        (r'(resnets\.\d+|down_blocks\.\d+)\.conv2', r'\1.residual.6'),
        (r'conv_shortcut', 'shortcut'),
        (r'mid_block\.resnets\.0', 'middle.0'),
        (r'mid_block\.attentions\.0', 'middle.1'),
        (r'mid_block\.resnets\.1', 'middle.2'),
        (r'down_blocks', 'downsamples'),
        (r'conv_in', 'conv1'),
        (r'norm_out', 'head.0'),
        (r'conv_out', 'head.2'),
        (r'post_quant_conv', 'conv2'),
        (r'quant_conv', 'conv1'),
    ]
    flat = [f'resnets.{i}' for i in range(n + 1)] + ['upsamplers.0']
    for stage in range(4):
        for i, part in enumerate(flat):
            new = f'upsamples.{stage * len(flat) + i}'
            words.append((rf'up_blocks\.{stage}\.{re.escape(part)}', new))
    named = {}
    for name, weight in weights.items():
        theirs = name
        for pattern, new in words:
            theirs = re.sub(pattern, new, theirs)
        named[theirs] = weight
    return named


def shapes_of(cls: Any, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a diffusers network without its numbers."""
    weights = build(cls, config).state_dict()
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def build(cls: Any, config: Any) -> Any:
    """Return a diffusers network without its numbers."""
    with torch.device('meta'):
        return cls(**{k: list(v) if isinstance(v, tuple) else v for k, v in config.items()})


@pytest.fixture
def files(tmp_path: Path) -> Sources:
    """Return the files of a tiny release in bfloat16, laid out as NVIDIA lays them out."""
    folder = tmp_path / 'download'
    (folder / 'tokenizer').mkdir(parents=True)
    names = official_transformer(2)
    weights: dict[str, Any] = {
        names[name]: weight.bfloat16() for name, weight in tiny_transformer().state_dict().items()
    }
    weights['net.blocks.0.self_attn.q_norm._extra_state'] = None
    weights['net.t_embedding_norm._extra_state'] = io.BytesIO(b'state')
    weights['net.pos_embedder.seq'] = torch.arange(16.0)
    weights['net.accum_iteration'] = torch.tensor(50000)
    torch.save(weights, folder / 'Cosmos-Policy.pt')
    vae = {name: weight.bfloat16() for name, weight in tiny_vae(False).state_dict().items()}
    torch.save(name_vae(vae, 1), folder / 'tokenizer' / 'tokenizer.pth')
    write_stats(folder / 'aloha_dataset_statistics.json', tiny_stats())
    embeddings = {TASK: torch.linspace(-1.0, 1.0, 16).reshape(1, 2, 8).bfloat16()}
    torch.save(embeddings, folder / 'aloha_t5_embeddings.pt')
    return Sources(
        folder / 'Cosmos-Policy.pt',
        folder / 'tokenizer' / 'tokenizer.pth',
        folder / 'aloha_dataset_statistics.json',
        folder / 'aloha_t5_embeddings.pt',
    )


def convert(sources: Sources, out: Path, config: PolicyConfig = CONFIG, **options: Any) -> Any:
    """Import files of the tiny networks as the command does, whole or not at all."""
    with whole_folder(out) as folder:
        import_checkpoint(
            sources, folder, config, transformer_config=TINY, vae_config=TINY_VAE, **options
        )


def refuse(sources: Sources, match: str, config: PolicyConfig = CONFIG) -> str:
    """Check that an import fails with a message that matches and leaves nothing behind."""
    out = sources.stats.parents[1] / 'out'
    with pytest.raises(ConfigError, match=match) as caught:
        convert(sources, out, config)
    assert [path.name for path in out.parent.iterdir()] == ['download']
    return str(caught.value)


def load(file: Path) -> dict[str, Any]:
    """Read a file of torch."""
    with torch.serialization.safe_globals([io.BytesIO]):
        return torch.load(file)


def change(file: Path, **weights: Any) -> None:
    """Change some weights of a file; None removes one."""
    data = {**load(file), **weights}
    torch.save({k: v for k, v in data.items() if v is not None}, file)


def test_released_transformer_maps_one_to_one() -> None:
    """All 567 tensors of the 2B, by name and shape, and 1.96 billion numbers."""
    ours = shapes_of(CosmosTransformer3DModel, TRANSFORMER_2B)
    theirs = official_shapes_2b()
    names = transformer_names(ours)
    assert {official: ours[name] for official, name in names.items()} == theirs
    assert names == {official: name for name, official in official_transformer(28).items()}
    assert len(names) == len(ours) == 567
    assert sum(torch.Size(shape).numel() for shape in theirs.values()) == 1956413440


def test_released_autoencoder_maps_one_to_one() -> None:
    """All 194 tensors of Wan 2.1, by name and shape."""
    ours = shapes_of(AutoencoderKLWan, VAE_WAN)
    names = vae_names(ours, 2)
    shapes = {official: ours[name] for official, name in names.items()}
    assert shapes == official_vae(96, 16, [1, 2, 4, 4], 2, [False, True, True])
    assert len(names) == len(ours) == 194


def test_autoencoder_is_the_one_diffusers_calls_wan() -> None:
    """Sizes, and mean and deviation of the latents."""
    named, defaults = build(AutoencoderKLWan, VAE_WAN).config, build(AutoencoderKLWan, {}).config
    different = {k: v for k, v in defaults.items() if k[0] != '_' and named[k] != v}
    assert {k: list(v) for k, v in different.items()} == {k: named[k] for k in different}


def test_padding_mask_as_a_channel_has_the_same_weights() -> None:
    """The released configuration and the one without torchvision differ in no tensor."""
    released = {**TRANSFORMER_2B, 'in_channels': 17, 'concat_padding_mask': True}
    wanted = shapes_of(CosmosTransformer3DModel, TRANSFORMER_2B)
    assert shapes_of(CosmosTransformer3DModel, released) == wanted


def test_imported_networks_compute_the_same(files: Sources, tmp_path: Path) -> None:
    """Bit for bit, and every weight."""
    convert(files, tmp_path / 'out')
    checkpoint = load_checkpoint(tmp_path / 'out')
    transformer, vae = tiny_transformer().bfloat16().float(), tiny_vae(False).bfloat16().float()
    for got, wanted in ((checkpoint.transformer, transformer), (checkpoint.vae, vae)):
        weights = wanted.state_dict()
        assert all(torch.equal(v, weights[k]) for k, v in got.state_dict().items())
    inputs = {
        'hidden_states': torch.randn(1, 4, 11, 4, 4),
        'timestep': torch.rand(1, 1, 11, 1, 1),
        'encoder_hidden_states': torch.randn(1, 2, 8),
        'condition_mask': torch.zeros(1, 2, 11, 4, 4),
        'return_dict': False,
    }
    video = torch.rand(1, 3, 5, 32, 32)
    with torch.inference_mode():
        assert torch.equal(checkpoint.transformer(**inputs)[0], transformer(**inputs)[0])
        got = vae.encode(video).latent_dist.mode()
        assert torch.equal(checkpoint.vae.encode(video).latent_dist.mode(), got)
        assert torch.equal(checkpoint.vae.decode(got).sample, vae.decode(got).sample)


def test_imported_checkpoint_plans(files: Sources, tmp_path: Path) -> None:
    """The whole way to positions."""
    convert(files, tmp_path / 'out')
    plan = load_policy(tmp_path / 'out').plan(tiny_observation(), PlanQuery(1)).candidates
    assert plan.positions.shape[1:] == (6, 4)


def test_statistics_and_embeddings_arrive(files: Sources, tmp_path: Path) -> None:
    """The leading dimension of an embedding is gone, its precision stays."""
    convert(files, tmp_path / 'out')
    checkpoint = load_checkpoint(tmp_path / 'out')
    assert checkpoint.stats.actions_max.tolist() == [2.0] * 4
    stored = load_file(tmp_path / 'out' / 'text_embeddings.safetensors')[TASK]
    assert stored.dtype == torch.bfloat16
    assert torch.equal(stored, torch.linspace(-1.0, 1.0, 16).reshape(2, 8).bfloat16())


@pytest.mark.parametrize(
    ('precision', 'wanted'), [(None, torch.bfloat16), ('float32', torch.float32)]
)
def test_precision_is_that_of_the_source_or_as_asked(
    files: Sources, tmp_path: Path, precision: Any, wanted: torch.dtype
) -> None:
    """Both networks."""
    convert(files, tmp_path / 'out', precision=precision)
    for name in ('transformer', 'vae'):
        file = tmp_path / 'out' / name / 'diffusion_pytorch_model.safetensors'
        assert {weight.dtype for weight in load_file(file).values()} == {wanted}


def test_written_file_is_what_the_library_reads(tmp_path: Path) -> None:
    """Scalars, empty, transposed and 16-bit tensors."""
    tensors = {
        'a': torch.tensor(3.5),
        'b': torch.arange(6.0).reshape(2, 3).T,
        'c': torch.zeros(0, 4),
        'd': torch.randn(5).half(),
    }
    write_safetensors(tmp_path / 'x', tensors, None)
    read = load_file(tmp_path / 'x')
    assert read.keys() == tensors.keys()
    assert all(torch.equal(v, tensors[k]) and v.dtype == tensors[k].dtype for k, v in read.items())


def test_diffusers_folders_in_shards(files: Sources, tmp_path: Path) -> None:
    """Read through the index; the same weights as from the official file."""
    names = {official: name for name, official in official_transformer(2).items()}
    weights = {names[k]: v for k, v in load(files.transformer).items() if k in names}
    transformer = tiny_transformer().bfloat16()
    transformer.load_state_dict(weights)
    folder = files.transformer.parent
    transformer.save_pretrained(folder / 'transformer', max_shard_size='20KB')
    tiny_vae(False).bfloat16().save_pretrained(folder / 'vae')
    assert len(list((folder / 'transformer').glob('*.safetensors'))) > 1
    convert(files, tmp_path / 'a')
    convert(replace(files, transformer=folder / 'transformer', vae=folder / 'vae'), tmp_path / 'b')
    for name in ('transformer', 'vae'):
        for file in ('config.json', 'diffusion_pytorch_model.safetensors'):
            a, b = ((tmp_path / out / name / file).read_bytes() for out in ('a', 'b'))
            assert a == b


def test_official_names_in_safetensors(files: Sources, tmp_path: Path) -> None:
    """What is left when a file of torch is refused and converted elsewhere."""
    file = tmp_path / 'model.safetensors'
    weights = {k: v for k, v in load(files.transformer).items() if k.endswith('.weight')}
    save_file(weights, file)
    convert(replace(files, transformer=file), tmp_path / 'a')
    convert(files, tmp_path / 'b')
    a, b = (load_checkpoint(tmp_path / out).transformer.state_dict() for out in 'ab')
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_diffusers_folder_with_a_padding_mask_input(tmp_path: Path) -> None:
    """17 channels and a mask become 18 channels."""
    released = tiny_transformer(in_channels=5, concat_padding_mask=True)
    released.save_pretrained(tmp_path / 'transformer')
    network = read_transformer(tmp_path / 'transformer', TINY)
    assert network.model.config.in_channels == 6
    assert all(torch.equal(v, network.weights[k]) for k, v in released.state_dict().items())


def test_diffusers_folder_of_another_network(tmp_path: Path) -> None:
    """Text2Image has the same layers and another rotary scale."""
    tiny_transformer(rope_scale=(1.0, 4.0, 4.0)).save_pretrained(tmp_path / 'transformer')
    with pytest.raises(ConfigError, match=r'rope_scale \[1.0, 4.0, 4.0\], wanted \[1.0, 3.0'):
        read_transformer(tmp_path / 'transformer', TINY)
    with pytest.raises(ConfigError, match='is for CosmosTransformer3DModel, not AutoencoderKLWan'):
        read_vae(tmp_path / 'transformer', TINY_VAE)


def test_every_key_that_does_not_fit_is_listed(files: Sources) -> None:
    """Counts first, then all of them by group."""
    change(
        files.transformer,
        **{
            'net.crossattn_proj.0.weight': torch.zeros(2, 3),
            'net.blocks.0.mlp.layer1.weight': None,
            'net.blocks.1.mlp.layer1.weight': None,
            'net.final_layer.linear.weight': torch.zeros(3, 24),
            'net.t_embedding_norm.weight': torch.zeros(24, dtype=torch.int8),
        },
    )
    message = refuse(files, '1 unknown, 2 missing, 2 of another shape or type')
    lines = [line.strip() for line in message.splitlines()[1:]]
    assert lines == [
        'unknown',
        'net.crossattn_proj.0.weight: (2, 3) float32',
        'missing',
        'net.blocks.0.mlp.layer1.weight: (48, 24)',
        'net.blocks.1.mlp.layer1.weight: (48, 24)',
        'of another shape or type',
        'net.t_embedding_norm.weight: (24,) int8, wanted (24,)',
        'net.final_layer.linear.weight: (3, 24) float32, wanted (16, 24)',
    ]


def test_autoencoder_keys_that_do_not_fit(files: Sources) -> None:
    """The tokenizer file has no prefix."""
    change(
        files.vae, **{'encoder.downsamples.0.shortcut.weight': torch.zeros(1), 'conv2.bias': None}
    )
    refuse(files, r'AutoencoderKLWan .*1 unknown, 1 missing, 0 of another')


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Return what pickle shall call."""
        return os.system, (f'touch {Evil.trace}',)

    trace = ''


@pytest.mark.parametrize('part', ['transformer', 'vae', 'text'])
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'pickle 2', 'pickle 4'])
def test_malicious_file_is_refused_and_not_run(
    files: Sources, tmp_path_factory: pytest.TempPathFactory, part: str, kind: str
) -> None:
    """Neither torch's formats nor a plain pickle may call anything."""
    trace = tmp_path_factory.mktemp('trace') / 'executed'
    Evil.trace = str(trace)
    file = getattr(files, part)
    data = {'net.x': Evil()}
    if kind.startswith('pickle'):
        file.write_bytes(pickle.dumps(data, protocol=int(kind[-1])))
    else:
        torch.save(data, file, _use_new_zipfile_serialization=kind == 'zip')
    refuse(files, 'posix.system|Unsupported operand')
    assert not trace.exists()
    pickle.loads(pickle.dumps(Evil()))  # what it would have done
    assert trace.exists()


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_plain_pickle_of_tensors_is_read(files: Sources, tmp_path: Path, protocol: int) -> None:
    """As the published embeddings are, bit for bit; one that wants a gradient is no other."""
    file, tensors = files.text.with_suffix('.pkl'), load(files.text)
    tensors['b'] = torch.nn.Parameter(tensors[TASK].clone()).data.requires_grad_()
    tensors['c'] = torch.stack([tensors[TASK]] * 2)[1]  # a part of a larger one
    file.write_bytes(pickle.dumps(tensors, protocol=protocol))
    read = read_torch_file(file)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    convert(replace(files, text=file), tmp_path / 'out')
    assert load_checkpoint(tmp_path / 'out').text.tasks == ('b', 'c', TASK)


class Beyond:
    """Is pickled as a tensor of nine numbers on a storage of fewer."""

    def __init__(self, storage: Any) -> None:
        """Keep the storage."""
        self.storage = storage

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Return what pickle shall call."""
        return torch._utils._rebuild_tensor_v2, (self.storage, 0, (9,), (1,), False, {})


def storage_call(data: bytes) -> bytes:
    """Return the pickle of a call of torch's loader of storages on some bytes."""
    size = len(data).to_bytes(4, 'little')
    return b'\x80\x03ctorch.storage\n_load_from_bytes\nB' + size + data + b'\x85R.'


@pytest.mark.parametrize(
    'data',
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c_codecs\nencode\n(Vx\nS'rot13'\ntR.",
        b'\x80\x04\x8c\x0dtorch.storage\x8c\x1c_load_from_bytes.__globals__\x93.',
        b'ctorch\nload\n.',
        b'ctorch._utils\n_rebuild_tensor_v2\n}(X\x01\x00\x00\x00aK\x01ub.',  # sets an attribute
        b'ccollections\nOrderedDict\n}(X\x08\x00\x00\x00__init__K\x01ub.',
        b'\x80\x02\x82\x01.',  # of the registry of extensions
        b'Pname\n.',  # something that is kept elsewhere
        storage_call(pickle.dumps(Path('x'))),
        storage_call(b"cbuiltins\neval\n(S'1'\ntR."),
    ],
)
def test_plain_pickle_of_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    """Other names, attributes of admitted ones, and pickles inside the numbers of a tensor."""
    file = tmp_path / 'x.pkl'
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r'x\.pkl (holds|is)') as caught:
        read_torch_file(file)
    assert '\n' not in str(caught.value)


def test_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path: Path) -> None:
    """Nothing of the memory behind them is read."""
    storage = torch.zeros(4).storage()
    (tmp_path / 'y.pkl').write_bytes(pickle.dumps({'a': Beyond(storage)}))
    with pytest.raises(ConfigError, match=r'y\.pkl is damaged.*out of bounds'):
        read_torch_file(tmp_path / 'y.pkl')


def test_legacy_file_of_torch_is_read(files: Sources, tmp_path: Path) -> None:
    """Without a zip archive, as before torch 1.6."""
    weights = load(files.vae)
    torch.save(weights, files.vae, _use_new_zipfile_serialization=False)
    convert(files, tmp_path / 'out')


@pytest.mark.parametrize('part', ['transformer', 'vae', 'text'])
@pytest.mark.parametrize('keep', [0.0, 0.1, 0.9])
def test_truncated_file(files: Sources, part: str, keep: float) -> None:
    """An interrupted download."""
    file = getattr(files, part)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    assert '\n' not in refuse(files, f'{file.name} is')


def test_file_that_holds_no_dictionary(files: Sources) -> None:
    """One tensor."""
    torch.save(torch.zeros(3), files.vae)
    refuse(files, 'holds a Tensor, not tensors by name')


@pytest.mark.parametrize(
    ('embedding', 'match'),
    [
        ('words', r"'a' must be a float tensor \(1, tokens, width\), str"),
        (torch.zeros(2, 2, 8), 'must be a float tensor'),
        (torch.full((1, 2, 8), float('nan')), 'not finite'),
        (torch.zeros(1, 2, 9), 'width.* 9 does not fit transformer text_embed_dim 8'),
    ],
)
def test_embeddings_that_are_none(files: Sources, embedding: Any, match: str) -> None:
    """Type, shape, numbers."""
    torch.save({'a': embedding}, files.text)
    refuse(files, match.replace('width.* ', '') if 'fit' in match else match)


@pytest.mark.parametrize('name', PRESETS)
def test_preset_of_another_robot(files: Sources, name: Any) -> None:
    """The statistics say how many joints there are."""
    refuse(
        files,
        'not of that preset: norm_stats.json 4 does not fit policy.json action_size (7|14)',
        preset(name),
    )


def test_presets_have_the_facts_that_the_files_do_not_hold() -> None:
    """Images, rows that are played, seed, and the short cut of the sampler."""
    facts = {
        name: (preset(name).recipe, preset(name).open_loop_rows, preset(name).base_seed)
        for name in PRESETS
    }
    simulated = ImageRecipe(224, flip=True, jpeg_quality=95)
    assert facts == {
        'libero': (simulated, 16, 195),
        'robocasa': (simulated, 16, 195),
        'aloha': (ImageRecipe(224, resize_first=256), 50, 195),
        'aloha-planning': (ImageRecipe(224, resize_first=256), 50, 195),
    }
    short_cuts = [(preset(n).two_steps_are_one, preset(n).single_member_steps) for n in PRESETS]
    assert short_cuts == [(True, 1)] * 4


def test_presets_are_those_of_the_paper() -> None:
    """Latent frames, chunk, and what the value is judged from."""
    facts = {
        name: (
            preset(name).latent_shape,
            (preset(name).horizon, preset(name).action_size, preset(name).proprio_size),
            preset(name).value_kind,
        )
        for name in PRESETS
    }
    assert facts == {
        'libero': ((16, 9, 28, 28), (16, 7, 9), 'value'),
        'robocasa': ((16, 11, 28, 28), (32, 7, 9), 'value'),
        'aloha': ((16, 11, 28, 28), (50, 14, 14), 'value'),
        'aloha-planning': ((16, 11, 28, 28), (50, 14, 14), 'value_future_only'),
    }


def test_aloha_presets_have_the_joints_and_cameras_of_the_robot_file() -> None:
    """In action order; the robot has one camera more."""
    robot, config = read_robot(ALOHA), preset('aloha')
    assert config.joint_names == robot.joint_names
    assert {c.name for c in robot.cameras} - set(config.cameras) == {'cam_low'}


def test_parts_are_found_by_name(files: Sources) -> None:
    """Below the folder; a converted file is preferred to the pickle beside it."""
    folder = files.text.parent
    files.text.with_suffix('.pkl').write_bytes(b'')
    assert find_parts('aloha', folder) == {
        'transformer': files.transformer,
        'vae': files.vae,
        'stats': files.stats,
        'text': files.text,
    }


def test_missing_and_doubtful_parts_are_all_named(files: Sources) -> None:
    """One message, each with the option that helps."""
    files.stats.unlink()
    files.vae.unlink()
    (files.text.parent / 'model-720p-16fps.pt').write_bytes(b'')
    with pytest.raises(ConfigError) as caught:
        find_parts('aloha', files.text.parent, {'text': Path('/nowhere.pkl')})
    message = str(caught.value)
    assert re.search(r'more than one transformer .*720p.*choose with --transformer', message)
    assert re.search(r'no autoencoder .*--vae', message)
    assert re.search(r'no statistics .*--stats', message)
    assert re.search(r'--text: no /nowhere.pkl', message)


def test_files_of_another_release(files: Sources) -> None:
    """LIBERO and RoboCasa cannot be told apart by their sizes, but by name."""
    assert find_parts('aloha-planning', files.text.parent)
    with pytest.raises(ConfigError, match=r'statistics\.json is of aloha by its name, the preset'):
        find_parts('libero', files.text.parent)


def test_command_ends_with_status_1_and_writes_nothing(
    files: Sources, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny network is not the released one."""
    out = files.text.parents[1] / 'out'
    argv = ['import-weights', str(files.text.parent), '--preset', 'aloha', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', ['cosmos-policy', *argv])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert '0 unknown, 520 missing, 47 of another shape or type' in error
    assert 'net.blocks.27.mlp.layer2.weight: (2048, 8192)' in error
    assert [path.name for path in out.parent.iterdir()] == ['download']


def test_configurations_are_readable_json(files: Sources, tmp_path: Path) -> None:
    """Without the folder they were made from."""
    convert(files, tmp_path / 'out')
    facts = json.loads((tmp_path / 'out' / 'transformer' / 'config.json').read_text())
    assert facts['_class_name'] == 'CosmosTransformer3DModel'
    assert '_name_or_path' not in facts

"""The whole prediction: named parts in each memory, what is a bound and why."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import memory
from plugins.module_utils.memory import PARTS, ModelFiles, predict
from plugins.module_utils.memory_settings import Pool, Settings
from plugins.module_utils.model_shape import MemoryShapeError, describe
from tests.unit.measured import models, rows

GPU = Pool("gpu0", "gpu", 100.0)
OTHER = Pool("gpu1", "gpu", 100.0)
MAC = Pool("metal", "unified", 100.0, "metal")
RAM = Pool("ram", "cpu", 100.0, "cpu")


@cache
def files(name="llama3.2-3b-q4_K_M", **changes):
    item = models()[name]
    return ModelFiles(describe(item["metadata"], item["tensors_summary"]), item["file_size"], **changes)


def test_parts_lie_where_they_were_measured():
    # One row of each model; perf/memory_error.py and its test go through all of them.
    for row in {row["model"]: row for row in rows()}.values():
        said = row["settings"]
        flash = "on" if said["flash_attn"] else "off"
        asked = Settings(
            said["num_ctx"], said["num_parallel"], said["batch"], said["ubatch"], flash, said["kv_type"], said["kv_type"]
        )
        found = predict(files(row["model"]), asked, (GPU,))
        device, host = found.accelerators[0], found.host
        context = row["gpu_sim_mib"]["device"]["context"]
        assert device.kv_cache_mib + device.state_mib == pytest.approx(context, abs=0.04)
        assert (host.kv_cache_mib, host.state_mib, device.output_mib) == (0, 0, 0)
        assert found.offloaded_layers == found.layer_count == len(files(row["model"]).shape.layers) + 1


def test_a_model_on_the_cpu_is_in_one_memory():
    for pools, name in (((), "host"), ((RAM,), "ram")):
        found = predict(files(), Settings(4096), pools)
        assert (found.accelerators, found.host.name, found.offloaded_layers) == ((), name, 0)
        assert found.total_mib == found.host.total_mib == sum(getattr(found.host, part) for part in PARTS)


def test_part_of_the_layers_takes_its_caches_along():
    found = predict(files(), Settings(4096, gpu_layers=8), (GPU,))
    assert found.offloaded_layers == 8
    # 7 of 28 layers, and the output
    assert found.accelerators[0].kv_cache_mib == pytest.approx(448 / 4)
    assert found.host.kv_cache_mib == pytest.approx(448 * 3 / 4)
    assert found.reasons[-1] == "layers are taken to be alike: only totals of the tensors are known"


def test_caches_stay_on_the_host_where_they_are_not_offloaded():
    found = predict(files(), Settings(4096, kv_offload=False), (GPU,))
    assert (found.accelerators[0].kv_cache_mib, found.host.kv_cache_mib) == (0, 448)


def test_two_accelerators_share_a_model_and_each_pays_for_its_process():
    found = predict(files(), Settings(4096), (GPU, OTHER))
    shares = [pool.weights_mib for pool in found.accelerators]
    # the output layer, a lump of the size of the embedding, is on the last one
    assert sum(shares) == pytest.approx(1918.35, abs=0.01)
    assert shares[1] > shares[0] > 0
    assert [pool.overhead_mib for pool in found.accelerators] == [500, 500]


def test_an_accelerator_without_layers_is_not_paid_for():
    found = predict(files(), Settings(4096, tensor_split=(1.0, 0.0)), (GPU, OTHER))
    assert found.accelerators[1].total_mib == 0


def test_the_memory_of_a_mac_holds_weights_once():
    once = predict(files(), Settings(4096), (MAC,))
    twice = predict(files(), Settings(4096, mmap=False), (MAC,))
    embedding_mib = 323205120 / 2**20
    assert twice.accelerators[0].weights_mib - once.accelerators[0].weights_mib == pytest.approx(embedding_mib)
    assert once.accelerators[0].weights_mib + once.host.weights_mib == pytest.approx(1918.35, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "pools", "expected"),
    [
        ({"projector_bytes": 2**29}, (GPU,), [1536, 0]),
        ({"projector_bytes": 2**29}, (), [1536]),
        ({"projector_bytes": 0}, (GPU,), [0, 0]),
    ],
)
def test_a_projector_is_whole_on_one_memory(changes, pools, expected):
    found = predict(files(**changes), Settings(4096), pools)
    assert [pool.projector_mib for pool in found.pools] == expected


@pytest.mark.parametrize("gpu_layers", [0, 8])
def test_a_projector_stays_on_the_host_beside_layers_that_do(gpu_layers):
    found = predict(files(projector_bytes=2**29), Settings(4096, gpu_layers=gpu_layers), (GPU,))
    assert [pool.projector_mib for pool in found.pools] == [0, 1536]


def test_an_adapter_lies_beside_the_weights():
    plain, adapted = (predict(files(adapter_bytes=size), Settings(4096), (GPU, OTHER)) for size in (0, 2**25))
    added = [after.weights_mib - before.weights_mib for before, after in zip(plain.pools, adapted.pools, strict=True)]
    assert added == pytest.approx([16, 16, 0])


@pytest.mark.parametrize(
    ("name", "asked", "expected_mib"),
    [
        # a row of logits for each sequence: 128,256 x 4 bytes
        ("llama3.2-3b-q4_K_M", Settings(4096), 0.49),
        ("llama3.2-3b-q4_K_M", Settings(4096, parallel=4), 1.96),
        # for embeddings a row for each token, logits included
        ("all-minilm-l6-v2-f16", Settings(512, batch_tokens=512, embedding=True), 512 * (30522 + 384) * 4 / 2**20),
        ("all-minilm-l6-v2-f16", Settings(128, batch_tokens=512, embedding=True), 128 * (30522 + 384) * 4 / 2**20),
        ("embeddinggemma-300m-bf16", Settings(2048, embedding=True, engine="ollama"), 2048 * (262144 + 768) * 4 / 2**20),
    ],
)
def test_the_output_buffer(name, asked, expected_mib):
    assert predict(files(name), asked).host.output_mib == pytest.approx(expected_mib, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "name", "expected"),
    [
        (Settings(4096), "llama3.2-3b-q4_K_M", 8192),
        (Settings(4096, cache_ram_mib=100), "llama3.2-3b-q4_K_M", 100),
        (Settings(4096, embedding=True), "llama3.2-3b-q4_K_M", 0),
        (Settings(512), "all-minilm-l6-v2-f16", 0),
    ],
)
def test_the_prompt_cache_is_counted_with_its_limit(asked, name, expected):
    assert predict(files(name), asked).host.prompt_cache_mib == expected


UNKNOWN = {"general.architecture": "brand-new", "brand-new.block_count": 2, "brand-new.embedding_length": 64}


def test_what_is_not_known_makes_a_bound_with_its_reasons():
    shape = describe({**UNKNOWN, "brand-new.attention.head_count": 4})
    found = predict(ModelFiles(shape, 10 * 2**20), Settings(512))
    assert found.bound == "upper"
    assert found.host.weights_mib == 10
    assert "brand-new is not known" in found.reasons[0]
    assert found.reasons[1:3] == (
        "the header does not say the size of the vocabulary",
        "the tensors are not known, only the size of the file",
    )


def test_without_tensors_and_size_there_is_no_prediction():
    with pytest.raises(ValueError, match="neither the tensors nor the size"):
        predict(ModelFiles(describe({**UNKNOWN, "brand-new.attention.head_count": 4})), Settings(512))


def test_plain_data_for_reports():
    found = predict(files(), Settings(4096), (GPU,)).as_dict()
    assert [pool["name"] for pool in found["pools"]] == ["gpu0", "host"]
    assert found["total_mib"] == pytest.approx(sum(pool["total_mib"] for pool in found["pools"]))
    assert (found["engine"], found["engine_version"]) == ("llama_cpp", "b10488")


contexts = st.integers(256, 200_000)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(models())),
    contexts,
    st.integers(1, 4),
    st.sampled_from([(), (GPU,), (GPU, OTHER), (MAC,), (RAM,)]),
)
def test_more_context_never_takes_less(name, context_tokens, parallel, pools):
    def asked(tokens):
        return predict(files(name), Settings(tokens, parallel=parallel, batch_tokens=512, ubatch_tokens=512), pools)

    small, large = asked(256), asked(context_tokens)
    assert min(getattr(pool, part) for pool in large.pools for part in PARTS) >= 0
    for before, after in zip(small.pools, large.pools, strict=True):
        assert after.kv_cache_mib >= before.kv_cache_mib
        assert after.weights_mib == before.weights_mib


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), IndexError("out of range"), AssertionError(), TypeError("None")])
def test_a_header_that_contradicts_itself_is_refused(error, monkeypatch):
    def broken(*_arguments):
        raise error

    monkeypatch.setattr(memory, "compute_buffers", broken)
    item = models()["llama3.2-3b-q4_K_M"]
    files = ModelFiles(describe(item["metadata"], item["tensors_summary"]))
    with pytest.raises(MemoryShapeError, match=f"this llama model contradict each other .{type(error).__name__}"):
        predict(files, Settings(4096))

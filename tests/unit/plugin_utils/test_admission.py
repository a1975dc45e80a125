"""The replay: who is loaded where, who leaves and by which rule. Each case does its sum in a comment; 1 GiB = 1,024 MiB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.plugin_utils.admission import EngineHost, Footprint, Request, RunnerOptions, ServerSettings, replay
from tests.unit.admissions import ENCODER, LATENT, LLAMA, NEW, OLD, SETTLED, SLIDING, cpu, gpu, gpus, kinds, mac, model, names

FOREVER = ServerSettings(keep_alive=-1, context_length=4096)


def loads(*gib, **more):
    """Models a, b, c … of these file sizes, each really taking 1 GiB more than its file."""
    return [model("abcdefgh"[index], size, size + 1, **more) for index, size in enumerate(gib)]


def test_four_small_models_on_one_device_with_the_default_cap():
    """3 x 1 device = 3; predicted 1.5 GiB each (1 + 0.5 of cache) of 24. With equal keep-alives the alphabet decides."""
    result = replay(gpus(24), FOREVER, NEW, loads(1, 1, 1, 1))
    assert (result.verdict, result.evicted) == ("evicts", ("a",))
    assert names(result.residents) == ["b", "c", "d"]
    assert "3 models are loaded and OLLAMA_MAX_LOADED_MODELS (unset: 3 for each accelerator, in total) allows 3" in result.reason
    assert replay(gpus(24), replace(FOREVER, max_loaded_models=4), NEW, loads(1, 1, 1, 1)).stays


@pytest.mark.parametrize(("host", "last"), [(gpus(24, 24), "g"), (cpu(64), "d"), (mac(48, 60), "d")])
def test_the_default_cap_counts_devices_and_at_least_one(host, last):
    models = [model(name, 0.1, 0.2) for name in "abcdefgh"[: "abcdefgh".index(last) + 1]]
    result = replay(host, FOREVER, NEW, models)
    assert result.evicted == ("a",)
    assert [event.rule for event in result.events if event.kind == "evicts"] == ["count cap"]


def test_latent_attention_is_predicted_too_small():
    """Predicted 10 GiB + 432 MiB at 32,768 tokens = 10,672 MiB; really 10,240 + 972 + 1,500 of buffers = 12,712.

    Beside 9 GiB on 24: 80 % of 15,360 is 12,288, so the engine lets it in; 12,712 and the margin of 1,024 are over
    15,360 - 0 by none, but beside 11 GiB: 80 % of 13,312 is 10,649, and 10,672 is over it.
    """
    settings = replace(SETTLED, context_length=32768)
    latent = model("latent", 10, shape=LATENT, real=Footprint(10240 + 972 + 1500))
    assert replay(gpus(24), settings, NEW, [model("a", 4, 9), latent]).stays
    # beside 10.5 GiB: 80 % of 13,824 is 11,059, let in; room 13,824 - 1,024 = 12,800 for 12,712: it still fits
    assert replay(gpus(24), settings, NEW, [model("a", 4, 10.5), latent]).stays
    # beside 10.8 GiB: 80 % of 13,517 is 10,813, let in; room 12,493 for 12,712: 219 MiB stay in RAM, without an error
    spilled = replay(gpus(24), settings, NEW, [model("a", 4, 10.8), latent])
    assert spilled.verdict == "spills"
    assert next(event.numbers["spilled_mib"] for event in spilled.events if event.kind == "spills") == pytest.approx(219, abs=1)
    assert spilled.residents[1].placement == "partial"


def test_a_sliding_window_is_predicted_too_large_and_evicts_although_it_fits():
    """Predicted 2.5 GiB + 5,440 MiB = 8,000; really 2,560 + 814 + 500 = 3,874. Free beside 3 GiB on 12: 9,216.

    80 % of 9,216 is 7,372: evicted. Loaded first it is not checked; then the other, 2,048 + 4,096 = 6,144 MiB predicted,
    is within 80 % of 12,288 - 3,874 = 8,414, 6,731.
    """
    settings = replace(SETTLED, context_length=32768)
    window = model("window", 2.5, shape=SLIDING, real=Footprint(3874))
    other = model("other", 2, 3)
    result = replay(gpus(12), settings, NEW, [other, window])
    assert (result.verdict, result.evicted) == ("evicts", ("other",))
    assert "over 80 % of the 9,216 MiB that look free on gpu0, 7,373 MiB" in result.reason
    assert replay(gpus(12), settings, NEW, [window, other]).stays


def test_the_first_model_is_not_checked_and_the_others_leave_a_fifth_of_what_is_free():
    """24 GiB: the first may be predicted at 22. Of 10 GiB left 8 may be taken: 7.4 + 0.5 of cache is within, 7.6 is not."""
    first = model("a", 12, 14)
    assert replay(gpus(24), SETTLED, NEW, [model("a", 21.5, 22)]).stays
    assert replay(gpus(24), SETTLED, NEW, [first, model("b", 7.4, 8)]).stays
    assert replay(gpus(24), SETTLED, NEW, [first, model("b", 7.6, 8)]).evicted == ("a",)


def test_eviction_goes_on_until_the_model_fits():
    """16 GiB with 3 x 4 GiB taken: 4 left, 80 % 3.2; predicted 8.5. One less: 8 x 0.8 = 6.4; two less: 12 x 0.8 = 9.6.

    But the engine asks c, which remembers that 8 GiB were free when it came: 8 - 4 = 4, whoever has left since. So c goes too.
    """
    models = [*loads(3, 3, 3), model("x", 8, 9)]
    assert replay(gpus(16), SETTLED, NEW, models, seen="real").evicted == ("a", "b")
    assert replay(gpus(16), SETTLED, NEW, models, seen="reported").evicted == ("a", "b", "c")


def test_small_models_first_leave_no_device_for_the_large_one():
    """Two cards of 22.4 GiB. a (6) goes to gpu0, b (6) to the emptier gpu1, where the engine does not see it.

    It then believes gpu1 empty, and the large one, predicted 17.5 GiB, is within 80 % of 22.4 = 17.9: it goes there, finds
    22.4 - 6 - 1 of margin = 15.4 GiB and leaves 2.1 of its 17.5 in RAM. By the driver's answer neither card has 17.5 / 0.8
    = 21.9 GiB free: it is split, 17.5 within 80 % of 32.8.
    """
    host = gpus(22.4, 22.4)
    small, large = [model("a", 5, 6), model("b", 5, 6)], model("x", 17, 17.5)
    seen = replay(host, SETTLED, NEW, [*small, large], seen="reported")
    assert (seen.verdict, seen.residents[2].accelerators) == ("spills", ("gpu1",))
    assert "2,150 MiB of x stay in RAM" in seen.reason
    real = replay(host, SETTLED, NEW, [*small, large], seen="real")
    assert (real.verdict, real.residents[2].placement) == ("stays", "split")
    both = replay(host, SETTLED, NEW, [*small, large])
    assert both.verdict == "spills"
    assert any("depends on whom it asks" in note for note in both.notes)
    assert any("does not see b on gpu1" in note for note in both.notes)


def test_the_large_model_first_gets_a_device_of_its_own():
    """x on gpu0; a on gpu1, unseen there; then gpu1 looks empty and b joins a: 12 of 22.4 GiB."""
    host = gpus(22.4, 22.4)
    result = replay(host, SETTLED, NEW, [model("x", 17, 17.5), model("a", 5, 6), model("b", 5, 6)])
    assert result.stays
    assert [resident.accelerators for resident in result.residents] == [("gpu0",), ("gpu1",), ("gpu1",)]


def test_models_pile_up_on_the_device_that_looks_empty():
    """Three of 6.5 GiB fit beside each other on gpu1 (19.5 + 1 of 22.4), a fourth does not, although gpu0 has 16 free."""
    host, models = gpus(22.4, 22.4), loads(5.5, 5.5, 5.5, 5.5, 5.5)
    result = replay(host, SETTLED, NEW, models, seen="reported")
    assert [resident.accelerators for resident in result.residents] == [("gpu0",), *[("gpu1",)] * 4]
    assert result.verdict == "spills"


def test_a_split_model_is_compared_with_the_sum_and_needs_it_really():
    """30 GiB on 2 x 22.4: over 80 % of one (17.9), within 80 % of 44.8 = 35.8 if anything else were loaded; split."""
    result = replay(gpus(22.4, 22.4), SETTLED, NEW, [model("a", 29, 30)])
    assert result.residents[0].placement == "split"
    # a second one, predicted 10.5: each card has 22.4 - 15 = 7.4, 80 % 5.9; together 14.8, 80 % 11.8
    more = replay(gpus(22.4, 22.4), SETTLED, NEW, [model("a", 29, 30), model("b", 10, 10.5)])
    assert (more.stays, more.residents[1].placement) == (True, "split")
    # at 11.9 it is over 11.8
    assert replay(gpus(22.4, 22.4), SETTLED, NEW, [model("a", 29, 30), model("b", 11.4, 11.9)]).evicted == ("a",)


def test_each_further_device_costs_a_context_and_buffers():
    """20 GiB + 1 of buffers over 2 x 16 GiB with contexts of 0.5: 10.5 + 0.5 each."""
    footprint = Footprint(20 * 1024, process_mib=512, split_extra_mib=1024)
    result = replay(gpus(16, 16), SETTLED, NEW, [model("a", 19, real=footprint)])
    assert (result.residents[0].placement, result.residents[0].real_mib) == ("split", 22 * 1024)


def test_sched_spread_splits_what_one_device_would_hold():
    settings = replace(SETTLED, sched_spread=True)
    assert replay(gpus(24, 24), settings, NEW, [model("a", 4, 5)]).residents[0].placement == "split"


def test_main_gpu_pins_and_is_then_compared_with_that_device_alone():
    """b pinned to gpu0 beside a: 80 % of 24 - 15 = 7.2; 7.5 is over it although gpu1 is empty."""
    models = [model("a", 14, 15), model("b", 7, 8, main_gpu=0)]
    assert replay(gpus(24, 24), SETTLED, NEW, models).evicted == ("a",)
    free = replay(gpus(24, 24), SETTLED, NEW, [models[0], model("b", 7, 8)])
    assert (free.stays, free.residents[1].accelerators) == (True, ("gpu1",))


@pytest.mark.parametrize(("host", "main_gpu"), [(gpus(24), 1), (gpus(24, 24), 2), (gpus(24, 24), -1)])
def test_a_main_gpu_that_does_not_exist_fails_the_load(host, main_gpu):
    result = replay(host, SETTLED, NEW, [model("a", 4, 5, main_gpu=main_gpu)])
    assert result.verdict == "refused"
    assert f"main_gpu {main_gpu} is none of the" in result.reason


def test_discrete_devices_come_before_larger_integrated_ones():
    host = EngineHost((gpu(64, "igpu", integrated=True), gpu(16, "card")), ram_free_mib=60 * 1024)
    result = replay(host, SETTLED, NEW, [model("a", 9, 10)])
    assert result.residents[0].accelerators == ("card",)


def test_what_shares_the_ram_is_limited_by_what_the_system_has_left():
    """48 GiB for Metal, but 20 GiB of RAM are left: the second, predicted 8.5, is over 80 % of 20 - 10 = 8."""
    models = [model("a", 9, 10), model("b", 8, 9)]
    assert replay(mac(48, 20), SETTLED, NEW, models).evicted == ("a",)
    assert replay(mac(48, 40), SETTLED, NEW, models).stays


def test_libraries_are_not_mixed_when_a_model_is_spread():
    """CUDA 2 x 12 against ROCm 16: 20 GiB go over the two CUDA devices, whose 24 GiB together are more."""
    host = EngineHost((gpu(12, "c0"), gpu(12, "c1"), replace(gpu(16, "r0"), library="rocm")))
    result = replay(host, SETTLED, NEW, [model("a", 19, 20)])
    assert result.residents[0].accelerators == ("c0", "c1")


@pytest.mark.parametrize(
    ("num_gpu", "checked", "placement"),
    [
        # 33 layers with the output: 16 of them are a partial offload and not checked
        (16, False, "partial"),
        (33, True, "whole"),
        (999, True, "whole"),
        # on the CPU there is nothing to check
        (0, False, "cpu"),
    ],
)
def test_which_num_gpu_skips_the_check(num_gpu, checked, placement):
    """a takes 20 of 24 GiB; b, predicted 6.5 GiB, is over 80 % of 4."""
    models = [model("a", 19, 20), model("b", 6, 6.5, num_gpu=num_gpu)]
    result = replay(gpus(24), SETTLED, NEW, models)
    assert ("evicts" in kinds(result.events)) is checked
    assert result.residents[-1].placement == placement


def test_given_layers_that_do_not_fit_evict_everybody_and_are_tried_once_more():
    """b is predicted at 6.5 of 8 GiB (80 % 6.4: over), so a leaves; really 9 GiB on 8: out of memory, refused."""
    models = [model("a", 1, 1.5), model("b", 6, 9, num_gpu=99)]
    result = replay(gpus(8), SETTLED, NEW, models)
    assert kinds(result.events) == ["loads", "evicts", "refused"]
    # predicted 4.5 within 80 % of 6.5, really 7 of 6.5: the load fails, a and c leave, and then it fits alone
    models = [model("a", 0.5, 0.75), model("c", 0.5, 0.75), model("b", 4, 7, num_gpu=99)]
    result = replay(gpus(8), SETTLED, NEW, models)
    assert kinds(result.events) == ["loads", "loads", "out_of_memory", "evicts", "evicts", "loads"]
    assert {event.rule for event in result.events if event.kind == "evicts"} == {"out of memory"}


def test_an_automatic_context_is_lowered_after_an_out_of_memory_load():
    """Two devices of 24 GiB: tier 262,144, clamped to 131,072; measured 30 GiB there and 10 at 32,768."""

    def measure(candidate, loading):
        return Footprint((30 if loading.context_tokens > 32768 else 10) * 1024)

    settings = ServerSettings(keep_alive=-1)
    result = replay(gpus(24, 24), settings, NEW, [model("a", 4, main_gpu=0, num_gpu=99)], measure=measure)
    assert kinds(result.events) == ["out_of_memory", "lowers_context", "loads"]
    assert result.residents[0].context_tokens == 32768
    assert result.verdict == "reloads"


def test_a_margin_of_one_gibibyte_is_kept_free_unless_told_otherwise():
    """23.5 of 24 GiB leave half of the margin: 512 MiB stay in RAM; without the margin, or with fit off, nothing does."""
    models = [model("a", 22, 23.5)]
    spilled = replay(gpus(24), SETTLED, NEW, models)
    assert (spilled.verdict, spilled.events[1].numbers["spilled_mib"]) == ("spills", 512)
    assert replay(gpus(24), replace(SETTLED, fit_target_mib=256), NEW, models).stays
    assert replay(gpus(24), replace(SETTLED, fit=False), NEW, models).stays
    assert replay(gpus(24), replace(SETTLED, fit=False), NEW, [model("a", 22, 24.5)]).verdict == "refused"


def test_an_explicit_batch_adds_its_surcharge_and_an_automatic_one_never_decides():
    """At 8,192 tokens b is predicted 6 + 1 = 7 GiB of 9 free, 80 % 7.2. A given batch of 1,024 adds 0.75: 7.75."""
    settings = replace(SETTLED, context_length=8192)
    first = model("a", 10, 15)
    automatic = replay(gpus(24), settings, NEW, [first, model("b", 6, 7)])
    assert (automatic.stays, automatic.residents[1].batch_tokens) == (True, 512)
    given = replay(gpus(24), settings, NEW, [first, model("b", 6, 7, num_batch=1024)])
    assert given.evicted == ("a",)
    assert "768 MiB for batch 1024" in given.reason


def test_several_sequences_multiply_the_cache_except_where_a_family_serves_one():
    """4 x 4,096 tokens: 2 GiB of cache. b predicted 6 + 2 = 8 of 9 free, 80 % 7.2; alone in its family 6.5."""
    settings = replace(SETTLED, num_parallel=4)
    first = model("a", 10, 15)
    assert replay(gpus(24), settings, NEW, [first, model("b", 6, 7)]).evicted == ("a",)
    assert replay(gpus(24), settings, NEW, [first, model("b", 6, 7, family="qwen35")]).stays


def test_an_encoder_is_predicted_with_a_cache_it_does_not_have():
    """12 layers x 1 head x 64 x 512 tokens: 1.5 MiB; batch 2,048 without a surcharge."""
    result = replay(gpus(24), SETTLED, NEW, [model("vectors", 0.25, 0.5, shape=ENCODER, is_embedding=True)])
    (vectors,) = result.residents
    assert (vectors.predicted_mib, vectors.batch_tokens, vectors.context_tokens) == (257.5, 2048, 512)


@pytest.mark.parametrize(("ecc", "context", "verdict"), [(True, 32768, "stays"), (False, 131072, "evicts")])
def test_the_tier_of_two_cards_with_and_without_error_correction(ecc, context, verdict):
    """45 GiB give 32,768 tokens and a cache of 4 GiB; 48 give 262,144, clamped to 131,072: 16 GiB.

    a goes to gpu0; b is predicted 8 + 16 = 24 GiB, over 80 % of any card and of 48 - 22 = 26 together, 20.8.
    """
    host = gpus(22.5, 22.5) if ecc else gpus(24, 24)
    models = [model("a", 8, 13 if ecc else 22), model("b", 8, 13 if ecc else 22)]
    result = replay(host, ServerSettings(keep_alive=-1), NEW, models)
    assert (result.verdict, result.residents[0].context_tokens) == (verdict, context)


def test_the_cpu_is_not_checked_at_all():
    """24 GiB of models in 16 GiB of RAM: nothing is evicted, the system kills."""
    result = replay(cpu(16), SETTLED, NEW, loads(11, 11))
    assert (result.verdict, result.evicted) == ("spills", ())
    assert "b takes 12,288 MiB of the 4,096 MiB of RAM that are left, and the engine does not check it" in result.reason
    assert replay(cpu(64), SETTLED, NEW, loads(11, 11)).stays


def test_names_of_one_blob_share_a_runner_and_restart_it_where_their_options_differ():
    plain, again = model("a", 4, 5), replace(model("b", 4, 5), blob_digest="sha256:a")
    shared = replay(gpus(24), SETTLED, NEW, [plain, again])
    assert (shared.stays, kinds(shared.events), names(shared.residents)) == (True, ["loads", "reuses"], ["a"])
    longer = replace(again, options=RunnerOptions(num_ctx=8192))
    result = replay(gpus(24), SETTLED, NEW, [plain, longer])
    assert (result.verdict, kinds(result.events)) == ("reloads", ["loads", "reloads", "loads"])
    assert "b restarts the runner of a, whose blob it shares: num_ctx 8192 is asked, 4096 is loaded" in result.reason


def test_a_clients_context_restarts_a_model_and_loses_its_keep_alive():
    settings = ServerSettings(context_length=32768)
    pinned = replace(model("a", 4, 9), keep_alive=-1)
    assert replay(gpus(24), settings, NEW, [pinned]).stays
    result = replay(gpus(24), settings, NEW, [pinned], [Request("a", RunnerOptions(num_ctx=8192))])
    assert (result.verdict, kinds(result.events)) == ("reloads", ["loads", "reloads", "loads", "expires"])
    assert "A keep-alive that only the load had asked for is lost" in result.reason
    assert (result.residents[0].context_tokens, result.residents[0].keep_alive_s) == (8192, 300)


def test_a_restart_may_evict_somebody_else():
    """a restarts with 32,768 tokens: 4 + 4 = 8 GiB predicted, over 80 % of the 8 that b leaves."""
    models = [model("a", 4, 5), model("b", 14, 16)]
    result = replay(gpus(24), SETTLED, NEW, models, [Request("a", RunnerOptions(num_ctx=32768))])
    assert (result.verdict, result.evicted, names(result.residents)) == ("evicts", ("b",), ["a"])


@pytest.mark.parametrize(
    ("request_", "verdict", "left"),
    [
        (Request("a"), "stays", ["a"]),
        (Request("a", keep_alive=0), "evicts", []),
        (Request("a", keep_alive=0, empty=True), "evicts", []),
        (Request("a", keep_alive=600), "expires", ["a"]),
        (Request("a", keep_alive="24h"), "expires", ["a"]),
        # it is still being answered: it leaves later
        (Request("a", keep_alive=0, busy=True), "expires", ["a"]),
    ],
)
def test_the_keep_alive_of_a_request_replaces_the_models(request_, verdict, left):
    result = replay(gpus(24), SETTLED, NEW, [model("a", 4, 5)], [request_])
    assert (result.verdict, names(result.residents)) == (verdict, left)


def test_without_a_keep_alive_every_model_leaves_after_five_minutes():
    result = replay(gpus(24), ServerSettings(), NEW, loads(1))
    assert (result.verdict, result.reason) == ("expires", "a leaves after 300 s without a request: its keep-alive is finite.")


@pytest.mark.parametrize(
    ("keep_alives", "busy", "evicted"),
    [
        ((-1, -1, -1), (), "a"),
        # the shortest keep-alive goes first
        ((-1, 600, -1), (), "b"),
        ((900, 600, 300), (), "c"),
        # an idle one before a busy one
        ((-1, 600, -1), ("b",), "a"),
        ((-1, -1, -1), ("a", "b"), "c"),
        # all are busy: the shortest, once it is done
        ((-1, 600, -1), ("a", "b", "c"), "b"),
    ],
)
def test_who_is_evicted_first(keep_alives, busy, evicted):
    models = [replace(item, keep_alive=keep) for item, keep in zip(loads(1, 1, 1), keep_alives, strict=True)]
    requests = [*(Request(name, busy=True) for name in busy), Request("d")]
    late = replace(model("d", 1, 2), keep_alive=0)
    result = replay(gpus(24), FOREVER, NEW, [late, *models], requests)
    assert result.evicted[-1] == evicted


def test_the_alphabet_is_that_of_digests_not_of_names():
    models = [
        replace(item, blob_digest=digest)
        for item, digest in zip(loads(1, 1, 1, 1), ("sha256:9", "sha256:5", "sha256:7", "sha256:1"), strict=True)
    ]
    assert replay(gpus(24), FOREVER, NEW, models).evicted == ("b",)
    unknown = replay(gpus(24), FOREVER, NEW, [replace(item, blob_digest=None) for item in models])
    assert any("Digests are not known" in note for note in unknown.notes)


def test_what_the_engine_does_not_count_makes_room_that_is_not_there():
    """b takes 10 GiB of which 3 go unseen (a projector). c, predicted 4.5: of 24 - 5 - 10 = 9 free 80 % are 7.2 …

    at 8.5 (8 + 0.5): 80 % of 9 is 7.2, of the 12 that the log leaves 9.6: let in by the one reading, not by the other.
    """
    unseen = model("b", 6, real=Footprint(10 * 1024, unseen_mib=3 * 1024))
    models = [model("a", 4, 5), unseen, model("c", 8, 8.5)]
    assert replay(gpus(24), SETTLED, NEW, models, seen="real").verdict == "evicts"
    # it is let in, and 0.5 GiB of it find no room beside the margin
    assert replay(gpus(24), SETTLED, NEW, models, seen="reported").verdict == "spills"
    assert replay(gpus(24), SETTLED, NEW, models).verdict == "evicts"


def test_memory_in_use_before_the_start_counts():
    """24 GiB of which 10 are free: predicted 8.5, first, no check; 8.5 + 1 of margin within 10."""
    host = EngineHost((gpu(24, free_mib=10 * 1024),))
    assert replay(host, SETTLED, NEW, [model("a", 8, 8.5)]).stays
    assert replay(host, SETTLED, NEW, [model("a", 8, 9.5)]).verdict == "spills"


def test_a_wrong_cache_type_fails_every_load():
    result = replay(gpus(24), replace(SETTLED, kv_cache_type="q8"), NEW, loads(1))
    assert (result.verdict, names(result.residents)) == ("refused", [])


def test_llama_cpp_has_a_process_per_model():
    result = replay(EngineHost(engine="llama_cpp"), ServerSettings(), "b10488", loads(1, 1, 1, 1))
    assert (result.stays, result.rules) == (True, "one process per model")


@pytest.mark.parametrize(("version", "said"), [("0.9.0", "read from 0.15.5 on"), ("?", "expected one such as")])
def test_without_rules_the_answer_is_unknown(version, said):
    result = replay(gpus(24), SETTLED, version, loads(1))
    assert (result.verdict, result.stays) == ("unknown", None)
    assert said in result.reason


def test_a_newer_version_is_replayed_by_the_newest_rules_and_says_so():
    result = replay(gpus(24), SETTLED, "0.40.0", loads(1))
    assert result.stays
    assert "newer than 0.34.1" in result.notes[0]


def test_numbers_that_are_not_the_engines_are_marked():
    result = replay(gpus(24), SETTLED, NEW, [model("a", 4), replace(model("b", 4, 5), shape=None)])
    assert [resident.real_basis for resident in result.residents] == ["the engine's own prediction", "given"]
    assert [resident.predicted_basis for resident in result.residents] == ["engine rule", "declared size"]
    assert any("stands in for a" in note for note in result.notes)
    assert any("declared size for b" in note for note in result.notes)


@pytest.mark.parametrize(
    ("models", "requests", "said"),
    [
        ([model("a", 1), model("a", 2)], [], "names that differ"),
        ([model("a", 1)], [Request("b")], "got a request to b; expected one of a"),
        ([model("a", 1)], [Request("a", keep_alive="soon")], "text with a unit"),
    ],
)
def test_mistakes_are_named(models, requests, said):
    with pytest.raises(ValueError, match=said):
        replay(gpus(24), SETTLED, NEW, models, requests)


def test_the_old_engine_sees_what_it_measures():
    """v0.24 and a sliding window: what the newer ones evict is laid out by its measured size and stays."""
    settings = replace(SETTLED, context_length=32768)
    models = [
        model("other", 2, 7, shape=replace(LLAMA, architecture="qwen3")),
        model("window", 2.5, shape=SLIDING, real=Footprint(3874)),
    ]
    assert replay(gpus(12), settings, OLD, models).stays
    assert replay(gpus(12), settings, NEW, models).evicted == ("other",)

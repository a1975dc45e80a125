"""The search: what mends a set, the cheapest change first, with the replay that proves it; and what nothing mends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.plugin_utils import admission_orders
from plugins.plugin_utils.admission import Footprint, ServerSettings, mend, replay
from tests.unit.admissions import NEW, OLD, SETTLED, SLIDING, cpu, gpus, model, names


def changes(result):
    return [(change.setting, change.target, change.value) for change in result.changes]


def proved(result):
    """A mend that was found holds what it promises, replayed once more from its own words."""
    assert result.found
    assert all(proof.stays for proof in result.replays)
    return changes(result)


def test_what_stays_needs_no_change():
    result = mend(gpus(24), SETTLED, NEW, [model("a", 4, 5)])
    assert (result.found, result.changes, result.reason) == (True, (), "Nothing has to change.")


def test_the_count_and_the_timer_are_set_first():
    models = [model(name, 1, 2) for name in "abcd"]
    result = mend(gpus(24), ServerSettings(context_length=4096), NEW, models)
    assert proved(result) == [("OLLAMA_MAX_LOADED_MODELS", "server", 4), ("OLLAMA_KEEP_ALIVE", "server", -1)]
    assert result.settings.max_loaded_models == 4
    assert result.tried == ()


def test_a_loads_own_timer_is_lifted():
    models = [replace(model("a", 1, 2), keep_alive="10m")]
    assert proved(mend(gpus(24), SETTLED, NEW, models)) == [("keep_alive", "a", -1)]


def test_an_order_is_enough_for_an_over_predicted_model():
    """See test_admission: loaded first it is not checked."""
    settings = replace(SETTLED, context_length=32768)
    models = [model("other", 2, 3), model("window", 2.5, shape=SLIDING, real=Footprint(3874))]
    result = mend(gpus(12), settings, NEW, models)
    assert proved(result) == [("order", "loading", "window, other")]
    assert names(result.models) == ["window", "other"]


def test_the_largest_goes_first_on_two_cards():
    models = [model("a", 5, 6), model("b", 5, 6), model("x", 17, 17.5)]
    assert proved(mend(gpus(22.4, 22.4), SETTLED, NEW, models)) == [("order", "loading", "x, a, b")]


def test_spreading_is_switched_off_where_it_strands_memory():
    """Spread over 2 x 24, a and b take 14 + 8 of buffers each: 4 GiB are left, 80 % 3.2, and c is predicted 3.5.

    c first does not help: b's 22 GiB then find 48 - 4 - 8 - 22 = 14. Whole on a card each a and b take 14, c finds 10.
    """
    settings = replace(SETTLED, sched_spread=True)
    large = Footprint(14 * 1024, split_extra_mib=8 * 1024)
    small = Footprint(4 * 1024, split_extra_mib=8 * 1024)
    models = [model("a", 13, real=large), model("b", 13, real=large), model("c", 3, real=small)]
    assert proved(mend(gpus(24, 24), settings, NEW, models)) == [("OLLAMA_SCHED_SPREAD", "server", "false")]


def test_an_explicit_context_replaces_the_tier_that_the_memory_brought():
    """48 GiB: 262,144 tokens, clamped to 131,072: 8 + 16 GiB predicted. a is split; b, 24, is over 80 % of 48 - 19, 23.2.

    At 65,536 tokens it is 8 + 8 = 16: within 80 % of 24, 19.2, and each gets a card.
    """
    models = [model("a", 8, 19), model("b", 8, 19)]
    result = mend(gpus(24, 24), ServerSettings(keep_alive=-1), NEW, models)
    assert proved(result) == [("OLLAMA_CONTEXT_LENGTH", "server", 65536)]


def test_a_context_is_not_lowered_below_what_is_needed():
    """The same, but all of the context is needed: then an engine per card, where the first load is not checked."""
    models = [replace(model(name, 8, 19), needed_context_tokens=131072) for name in "ab"]
    result = mend(gpus(24, 24), ServerSettings(keep_alive=-1), NEW, models)
    assert [(setting, target) for setting, target, _ in proved(result)] == [("instance", "gpu0"), ("instance", "gpu1")]
    assert all(resident.context_tokens == 131072 for proof in result.replays for resident in proof.residents)


def test_a_large_batch_is_taken_back_where_it_is_too_much():
    """b and c predicted 7 GiB of 9 free, 80 % 7.2; a batch of 1,024 adds 0.75."""
    settings = replace(SETTLED, context_length=8192)
    models = [model("a", 14, 15, num_batch=512), model("b", 6, 7, num_batch=1024)]
    # loaded first, a batch does not matter for b; then a is over 80 % of 17
    result = mend(gpus(24), settings, NEW, models)
    assert proved(result) == [("num_batch", "b", 512)]


def test_a_pin_saves_the_room_that_would_look_empty():
    """Four of 10 GiB on 2 x 22.4: after one on each, gpu1 looks empty and would get both others. Pinned, each gets two.

    80 % of 22.4 - 10 = 9.9 for a predicted 9.5.
    """
    models = [model(name, 9, 10) for name in "abcd"]
    host = gpus(22.4, 22.4)
    assert replay(host, SETTLED, NEW, models, seen="reported").verdict == "spills"
    result = mend(host, SETTLED, NEW, models)
    found = proved(result)
    assert {setting for setting, _, _ in found} == {"main_gpu"}
    assert sorted(resident.accelerators for resident in result.replays[0].residents) == [("gpu0",)] * 2 + [("gpu1",)] * 2


def test_a_smaller_context_of_a_model_is_the_last_thing_within_one_instance():
    """a 15 of 24; b with 32,768 tokens 6 + 4 = 10 over 7.2; 8,192: 7 within. Loaded first, a's 14.5 is over 80 % of 17."""
    models = [model("a", 14, 15, num_ctx=4096), model("b", 6, 7, num_ctx=32768)]
    result = mend(gpus(24), SETTLED, NEW, models)
    assert proved(result) == [("num_ctx", "b", 8192)]
    assert "another order of loading" in result.tried


def test_an_instance_per_device_where_nothing_else_helps():
    """a and b of 20 GiB on 2 x 22.4: the second would have to be predicted within 17.9, and 19.5 is not: split over what
    is left, 24.8 x 0.8 = 19.8, it is let in, but needs 20 + 1 + 2 of margins. Alone on its device nothing is checked."""
    models = [
        model("a", 19, real=Footprint(20 * 1024, split_extra_mib=4096)),
        model("b", 19, real=Footprint(20 * 1024, split_extra_mib=4096)),
    ]
    result = mend(gpus(22.4, 22.4), SETTLED, NEW, models)
    assert [(setting, target) for setting, target, _ in proved(result)] == [("instance", "gpu0"), ("instance", "gpu1")]
    assert len(result.replays) == 2
    assert result.settings.context_length == 4096


def test_what_does_not_fit_physically_is_not_mended():
    result = mend(gpus(16), SETTLED, NEW, [model("a", 9, 10), model("b", 7, 8)])
    assert (result.found, result.changes) == (False, ())
    assert "a 10,240 MiB + b 8,192 MiB = 18,432 MiB, 2,048 MiB more than the 16,384 MiB of gpu0" in result.reason
    assert "No setting and no order mends that." in result.reason
    ram = mend(cpu(16), SETTLED, NEW, [model("a", 9, 10), model("b", 7, 8)])
    assert "of RAM" in ram.reason


def test_what_was_tried_in_vain_is_named():
    """Two of 11.8 on one card of 24: both fit to the byte, and the margin of 1 GiB does not."""
    result = mend(gpus(24), SETTLED, NEW, [model("a", 10, 11.8), model("b", 10, 11.8)])
    assert result.found is False
    assert "another order of loading" in result.reason
    assert "num_ctx" in result.reason


def test_without_rules_nothing_can_be_mended():
    result = mend(gpus(24), SETTLED, "0.9.0", [model("a", 4, 5)])
    assert (result.found, result.replays[0].verdict) == (False, "unknown")


def test_a_measure_that_follows_the_context_is_searched_too():
    """Really 20 GiB at 32,768 tokens, 10 at 8,192: both fit beside each other at 8,192 only."""

    def measure(candidate, loading):
        return Footprint(loading.context_tokens / 32768 * 13 * 1024 + 7 * 1024)

    models = [model("a", 4), model("b", 4)]
    result = mend(gpus(24), ServerSettings(keep_alive=-1), NEW, models, measure=measure)
    assert proved(result) == [("OLLAMA_CONTEXT_LENGTH", "server", 8192)]


def test_the_old_engine_is_mended_by_order_and_settings_without_pins():
    models = [model(name, 8, 9) for name in "abcd"]
    result = mend(gpus(24, 24), ServerSettings(), OLD, models)
    assert all(change.setting != "main_gpu" for change in result.changes)
    assert proved(result)


@pytest.mark.parametrize("count", [8, 9])
def test_more_models_than_all_orders_are_tried_for_are_sorted_by_size(count):
    models = [model(name, 1, 1.5) for name in "abcdefghi"[: count - 1]] + [model("z", 17, 17.5)]
    result = mend(gpus(22.4, 22.4), replace(SETTLED, max_loaded_models=count), NEW, models)
    assert proved(result)
    assert result.models[0].name == "z"


def test_models_that_fit_in_sum_but_not_with_the_margins_are_given_up():
    """31 of 32.4 GiB, and a GiB of margin on each card."""
    models = [model(name, 5 + index / 10, 6 + index / 10) for index, name in enumerate("abcde")]
    result = mend(gpus(16.2, 16.2), SETTLED, NEW, models)
    assert result.found is False


def test_a_search_that_would_take_too_long_gives_up_and_says_so(monkeypatch):
    monkeypatch.setattr(admission_orders, "MOST_STEPS", 12)
    models = [model(name, 9, 10) for name in "abcd"]
    result = mend(gpus(22.4, 22.4), SETTLED, NEW, models)
    assert "another order of loading (not all orders were tried)" in result.tried

"""The environment of processes that compute on a CPU; what a user has set stays."""

from etlch import machine


def test_openmp_waits_asleep_unless_it_is_told_otherwise():
    for before, after in (
        ({}, {"OMP_WAIT_POLICY": "PASSIVE"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "9"}, {"GOMP_SPINCOUNT": "9"}),
    ):
        machine.share_cores(before)
        assert before == after


def test_an_allocator_is_used_where_one_is_installed(monkeypatch):
    monkeypatch.setattr(machine, "find_library", {"jemalloc": "libjemalloc.so.2"}.get)
    environment: dict[str, str] = {}
    machine.use_allocator(environment)
    assert environment == {"LD_PRELOAD": "libjemalloc.so.2"}
    machine.use_allocator(chosen := {"LD_PRELOAD": ""})
    assert chosen == {"LD_PRELOAD": ""}
    monkeypatch.setattr(machine, "find_library", lambda name: None)
    machine.use_allocator(none := {})
    assert none == {}

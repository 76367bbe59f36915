"""The service with played processes: cameras that come and go, plans that are kept, reloads."""

import asyncio

import pytest
from service.played import camera, played

from agent.capture import messages as m
from agent.config.problems import ConfigError
from agent.control.errors import NotFound
from agent.errors import AgentError

TOP = camera("/dev/video0", serial="A1")
LEFT = camera("/dev/video2", serial="B2")
CONFIG = """
output: photos
cameras:
  top: {device: {serial: A1}}
  left: {device: {serial: B2}}
plans:
  lapse: {camera: top, every: 500ms}
  slow: {camera: left, every: 5s}
"""
RESTART = "socket: needs a restart of the service, which listens where it did until then"


def names(process):
    return [order.plan.name for command in process.of(m.AddPlans) for order in command.orders]


def paths(process):
    return [(command.camera, command.path) for command in process.of(m.Relocate)]


# -- cameras that come and go -------------------------------------------------------------------------------------


def test_groups_of_cameras_that_are_there_are_started_and_get_their_plans(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        assert names(stage.process("top")) == ["lapse"]
        assert stage.process("left").order.cameras[0].path == "/dev/video2"
        assert stage.process("left").order.sink.folder == tmp_path / "photos" / "left"
        assert [plan["state"] for plan in await stage.agent.plans()] == ["running", "running"]

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_camera_that_is_not_there_waits_with_its_plans(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        document = await stage.agent.camera("top")
        assert (document["state"], document["device"], document["code"]) == ("absent", None, "camera_missing")
        assert (await stage.agent.plan("lapse"))["state"] == "waiting"
        assert len(stage.processes) == 1
        stage.present.plug(TOP, LEFT)
        await stage.ready("top")
        assert names(stage.process("top")) == ["lapse"]
        assert (await stage.agent.camera("top"))["device"] == "/dev/video0"

    played(tmp_path, CONFIG, LEFT)(scene)


def test_pain_10_unplugged_and_back_at_another_node_its_plans_go_on_in_the_same_process(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        process = stage.process("top")
        stage.present.plug(LEFT)
        await stage.until(lambda: stage.kinds.count("camera.changed") == 1)
        assert (await stage.agent.camera("top"))["state"] == "gone"
        assert (await stage.agent.plan("lapse"))["state"] == "running"
        stage.present.plug(LEFT, camera("/dev/video7", serial="A1", made_us=9))
        await stage.until(lambda: stage.kinds.count("camera.appeared") == 3)
        await stage.agent.start("top", "a test")  # an answer from the process: it has read what came before
        assert paths(process) == [("top", ""), ("top", "/dev/video7")]
        assert (len(stage.processes), process.killed, paths(stage.process("left"))) == (2, False, [])
        assert names(process) == ["lapse"]

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_camera_that_was_replugged_between_two_looks_is_told_though_its_path_is_the_same(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        stage.present.plug(camera("/dev/video0", serial="A1", made_us=2))
        await stage.until(lambda: stage.kinds.count("camera.appeared") == 2)
        await stage.agent.start("top", "a test")
        assert paths(stage.process("top")) == [("top", "/dev/video0")]

    played(tmp_path, CONFIG, TOP)(scene)


def test_pain_11_a_twin_takes_nothing_from_the_one_that_is_there_and_gets_nothing_by_order(tmp_path):
    config = "cameras:\n  top: {device: {model: Bench}}\n"
    one, two = camera("/dev/video0", port="p1"), camera("/dev/video2", port="p2")

    async def scene(stage):
        await stage.ready("top")
        stage.present.plug(one, two)
        await stage.agent.start("top", "a test")
        assert (await stage.agent.camera("top"))["device"] == "/dev/video0"
        stage.present.plug(two, camera("/dev/video4", port="p3"))
        await stage.until(lambda: "camera.changed" in stage.kinds)
        document = await stage.agent.camera("top")
        assert (document["state"], document["code"]) == ("gone", "match_ambiguous")
        await stage.agent.start("top", "a test")
        assert paths(stage.process("top")) == [("top", "")]

    played(tmp_path, config, one)(scene)


def test_a_process_that_dies_is_replaced_and_its_plans_go_to_its_successor(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        stage.process("top").die(-9)
        await stage.until(lambda: stage.count("top") == 2)
        await stage.ready("top")
        assert names(stage.process("top")) == []  # they are in its assignment
        assert [each.order.plan.name for each in stage.process("top").heard[0].adopted] == ["lapse"]
        ended = next(entry for entry in stage.entries if entry[2]["KIND"] == "group.ended")
        assert ended[2]["GROUP"] == "top"

    played(tmp_path, CONFIG, TOP)(scene)


# -- plans over the facade ----------------------------------------------------------------------------------------


def test_plans_are_added_owned_changed_and_cancelled(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        asked = {"extra": {"camera": "top", "every": "1s", "quota": "2/s"}}
        (plan,) = await stage.agent.add_plans(asked, "user anna", "user-anna")
        assert (plan["state"], plan["client"], plan["group"], plan["quota"]) == ("running", "user-anna", "top", "2/s")
        changed = await stage.agent.change_plan("extra", by="anna", every_ns=7, priority=3, quota="5/s")
        assert (changed["period_ns"], changed["priority"], changed["quota"]) == (7, 3, "5/s")
        assert len(stage.process("top").of(m.SetPeriod)) == 1
        with pytest.raises(AgentError, match="already") as caught:
            await stage.agent.add_plans(asked, "user anna", "user-anna")
        assert caught.value.code == "name_taken"
        report = await stage.agent.cancel_plan("extra", "anna")
        assert (report["plans"], report["already"]) == (1, False)
        assert (await stage.agent.plan("extra"))["state"] == "cancelled"
        await stage.agent.add_plans(asked, "user anna", "user-anna")

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_plans_of_two_groups_are_all_or_none(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        stage.refuses[m.AddPlans] = lambda command: command.orders[0].plan.camera == "left"
        asked = {"one": {"camera": "top", "every": "1s"}, "two": {"camera": "left", "every": "1s"}}
        with pytest.raises(AgentError, match="it will not"):
            await stage.agent.add_plans(asked, "anna", "")
        await stage.agent.start("top", "a test")
        assert [cancel.name for cancel in stage.process("top").of(m.Cancel)] == ["one"]
        for name in asked:
            with pytest.raises(NotFound):
                await stage.agent.plan(name)

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_plan_that_waits_can_be_cancelled(tmp_path):
    async def scene(stage):
        report = await stage.agent.cancel_plan("lapse", "anna")
        assert (report["plans"], report["already"], report["cameras"]) == (1, False, [])
        stopped = await stage.agent.stop("left", "anna")
        assert (stopped["was_on"], stopped["plans"]) == (False, 1)
        stage.present.plug(TOP, LEFT)
        await stage.ready("top", "left")
        assert names(stage.process("top")) == names(stage.process("left")) == []

    played(tmp_path, CONFIG)(scene)


def test_a_cancel_is_written_before_anybody_waits(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        stage.keeps.add(m.Ping)
        answer = stage.agent.cancel("all", "", "anna")
        # no turn of the event loop in between: it is in the process's socket already
        assert [received.message.kind for received in stage.process("top").channel.drain(9)] == ["all"]
        del answer

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_one_config_plan_that_is_refused_does_not_keep_others_from_running(tmp_path):
    config = CONFIG + "  quick: {camera: top, every: 1ms}\n"

    async def scene(stage):
        stage.refuses[m.AddPlans] = lambda command: any(order.plan.name == "quick" for order in command.orders)
        await stage.ready("top")
        assert (await stage.agent.plan("lapse"))["state"] == "running"
        refused = await stage.agent.plan("quick")
        assert (refused["state"], refused["cause"]) == ("refused", "it will not")

    played(tmp_path, config, TOP)(scene)


def test_unknown_names_are_told(tmp_path):
    async def scene(stage):
        for ask in (
            stage.agent.camera("nothing"),
            stage.agent.plan("nothing"),
            stage.agent.start("nothing", "a"),
            stage.agent.release_stop("nothing", "a"),
            stage.agent.set_quota("camera/nothing", "1/s", "a"),
            stage.agent.capture("nothing", "a", {}),
        ):
            with pytest.raises(NotFound):
                await ask
        with pytest.raises(NotFound):
            stage.agent.cancel_plan("nothing", "a")
        with pytest.raises(AgentError, match="no camera has serial A1"):
            await stage.agent.start("top", "a")

    played(tmp_path, CONFIG)(scene)


# -- reloads ------------------------------------------------------------------------------------------------------


def test_pain_17_what_did_not_change_keeps_its_process(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        left, top = stage.process("left"), stage.process("top")
        stage.write(CONFIG.replace("lapse: {camera: top, every: 500ms}", "lapse: {camera: top, every: 250ms}"))
        told = await stage.agent.reload("anna")
        assert (told["problems"], told["starts"], told["stops"]) == ([], [], [])
        assert [command.period_ns for command in top.of(m.SetPeriod)] == [250_000_000]
        assert len(stage.processes) == 2
        assert not (left.of(m.Cancel))
        assert not (left.of(m.Quit))
        assert not (top.of(m.Cancel))

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_plans_are_added_removed_and_replaced_by_a_reload(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "anna", "")
        new = CONFIG.replace("every: 5s", "every: 5s, count: 9").replace("lapse:", "other:")
        stage.write(new)
        told = await stage.agent.reload("anna")
        assert told["problems"] == []
        top, left = stage.process("top"), stage.process("left")
        assert (names(top), [cancel.name for cancel in top.of(m.Cancel)]) == (["lapse", "mine", "other"], ["lapse"])
        assert (names(left), [cancel.name for cancel in left.of(m.Cancel)]) == (["slow", "slow"], ["slow"])
        assert {plan["name"]: plan["state"] for plan in await stage.agent.plans()} == {
            "lapse": "cancelled",
            "slow": "running",
            "mine": "running",
            "other": "running",
        }

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_group_that_changed_begins_anew_with_its_plans_and_those_of_others_go_on(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "anna", "")
        first, left = stage.process("top"), stage.process("left")
        stage.write(CONFIG.replace("top: {device: {serial: A1}}", "top: {device: {serial: A1}, size: 640x480}"))
        await stage.agent.reload("anna")
        await stage.until(lambda: stage.count("top") == 2)
        await stage.ready("top")
        assert len(first.of(m.Quit)) == 1
        assert sorted(names(stage.process("top"))) == ["lapse", "mine"]
        assert not left.of(m.Quit)
        assert {plan["state"] for plan in await stage.agent.plans()} == {"running"}

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_camera_that_is_configured_no_more_is_stopped_with_its_plans(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        await stage.agent.add_plans({"mine": {"camera": "left", "every": "1s"}}, "anna", "")
        left = stage.process("left")
        lines = [line for line in CONFIG.splitlines() if "left" not in line]
        stage.write("\n".join(lines))
        await stage.agent.reload("anna")
        await stage.agent.parts.fleet.ended()
        assert len(left.of(m.Quit)) == 1
        assert [group["name"] for group in await stage.agent.groups()] == ["top"]
        assert (await stage.agent.plan("mine"))["state"] == "cancelled"
        with pytest.raises(NotFound):
            await stage.agent.camera("left")

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_camera_that_moves_to_another_group_is_let_go_before_it_is_taken(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        stage.write(CONFIG.replace("{serial: B2}}", "{serial: B2}, group: top}"))
        await stage.agent.reload("anna")
        await stage.until(lambda: stage.count("top") == 2)
        await stage.ready("top")
        assert [one.name for one in stage.process("top").order.cameras] == ["left", "top"]
        assert sorted(names(stage.process("top"))) == ["lapse", "slow"]

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("cameras: [", "this is no YAML"),
        ("cameras:\n  top: {devise: x}\n", "cameras.top.devise"),
        ("access: {look: [no-such-group-here]}", "no-such-group-here"),
    ],
)
def test_pain_17_a_bad_file_changes_nothing_and_says_why(tmp_path, bad, why):
    async def scene(stage):
        await stage.ready("top", "left")
        before = [list(process.heard) for process in stage.processes]
        document = await stage.agent.config()
        stage.write(bad)
        with pytest.raises(AgentError, match=why):
            await stage.agent.reload("anna")
        assert [process.heard for process in stage.processes] == before
        assert await stage.agent.config() == document
        assert stage.kinds[-1] == "config.refused"

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_a_plan_of_somebodys_is_not_taken_over_by_a_reload(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "anna", "")
        stage.write(CONFIG.replace("lapse:", "other:") + "  mine: {camera: left, every: 1s}\n")
        with pytest.raises(AgentError) as caught:
            await stage.agent.reload("anna")
        assert caught.value.code == "name_taken"
        assert names(stage.process("left")) == ["slow"]
        assert (await stage.agent.plan("lapse"))["state"] == "running"
        assert not stage.process("top").of(m.Cancel)

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


def test_limits_come_change_and_go_while_processes_run(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        stage.write(CONFIG + "quotas: {agent: 10/s, cameras: {top: 3/s burst 2}}\n")
        await stage.agent.reload("anna")
        assert stage.process("left").of(m.SetLimits)[-1].places == {"agent": 0, "camera/top": 1}
        found = {each["bucket"]: (each["limit"], each["available"]) for each in await stage.agent.quotas()}
        assert found == {"agent": ("10/s", 1), "camera/top": ("3/s burst 2", 2)}
        changed = await stage.agent.set_quota("agent", "20/s", "anna")
        assert changed["limit"] == "20/s"
        stage.write(CONFIG + "quotas: {cameras: {top: 4/s}}\n")
        await stage.agent.reload("anna")
        assert stage.process("left").of(m.SetLimits)[-1].places == {"camera/top": 1}
        assert [each["limit"] for each in await stage.agent.quotas()] == ["4/s"]
        assert len(stage.processes) == 2

    played(tmp_path, CONFIG, TOP, LEFT)(scene)


# -- ends ---------------------------------------------------------------------------------------------------------


def test_the_end_quits_every_process(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")

    stage = played(tmp_path, CONFIG, TOP, LEFT)(scene)
    assert [len(process.of(m.Quit)) for process in stage.processes] == [1, 1]
    assert not any(process.killed and process.status() != 0 for process in stage.processes)
    assert not (tmp_path / "control.sock").exists()


def test_a_process_that_does_not_end_is_killed_and_the_service_ends(tmp_path):
    config = CONFIG + "limits: {stop: 50ms, step: 50ms}\n"

    async def scene(stage):
        await stage.ready("top")
        stage.keeps.add(m.Quit)
        stage.keeps.add(m.Cancel)
        report = stage.agent.cancel("all", "", "anna")
        await asyncio.sleep(0)
        assert not report.done()

    stage = played(tmp_path, config, TOP)(scene)
    assert stage.process("top").killed
    assert "did not end when it was told to" in next(
        message for message, _, fields in stage.entries if fields["KIND"] == "group.ended"
    )


def test_plans_that_were_cancelled_are_over_though_their_process_dies(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        stage.keeps.add(m.Cancel)
        answer = stage.agent.cancel_plan("lapse", "anna")
        stage.process("top").die(-9)
        assert (await answer)["plans"] == 1
        assert (await stage.agent.plan("lapse"))["state"] == "cancelled"

    played(tmp_path, CONFIG, TOP)(scene)


def test_a_plan_that_is_cancelled_on_its_way_is_counted_once(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        stage.keeps.add(m.AddPlans)
        adding = asyncio.create_task(stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "anna", ""))
        while not stage.agent.parts.book.concerned("plan", "mine"):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        process = stage.process("top")
        report = stage.agent.cancel_plan("mine", "bob")
        process.say(
            m.Refused(
                re=stage.agent.parts.processes.number() - 2,
                at_ns=1,
                code="cancelled",
                exit_code=1,
                message="cancelled by bob",
                hint="",
            )
        )
        with pytest.raises(AgentError, match="cancelled by bob"):
            await adding
        assert (await report)["plans"] == 0
        with pytest.raises(NotFound):
            await stage.agent.plan("mine")

    played(tmp_path, CONFIG, TOP)(scene)


def test_many_ends_are_told_as_one(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        await stage.agent.add_plans({"many": {"camera": "top", "every": "1s", "copies": 40}}, "anna", "user-anna")
        assert len(stage.process("top").slots) == 41
        report = await stage.agent.cancel("client", "user-anna", "anna")
        assert report["plans"] == 41  # the played process ends all
        assert stage.kinds.count("plan.ended") == 0
        assert stage.kinds.count("plans.ended") == 1

    played(tmp_path, CONFIG, TOP)(scene)


def test_a_process_that_never_comes_up_has_its_plans_wait(tmp_path):
    async def scene(stage):
        stage.comes_up = False
        stage.present.plug(TOP)
        await stage.until(lambda: "group.started" in stage.kinds)
        await stage.agent.start("top", "a test")
        (plan,) = await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "anna", "")
        assert plan["state"] == "waiting"
        stage.process("top").die(1)
        stage.comes_up = True
        await stage.ready("top")
        assert sorted(names(stage.process("top"))) == ["lapse", "mine"]

    played(tmp_path, CONFIG)(scene)


def test_dates_that_are_past_are_over_and_others_go_on(tmp_path):
    config = CONFIG + "  past: {camera: top, start: 2020-01-31T08:00:00Z}\n"

    async def scene(stage):
        await stage.ready("top")
        past = await stage.agent.plan("past")
        assert (past["state"], past["cause"]) == ("finished", "all of its dates are past")
        assert names(stage.process("top")) == ["lapse"]

    played(tmp_path, config, TOP)(scene)


def test_what_is_asked_is_in_the_journal_with_who_asked(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        await stage.agent.start("top", "user anna (pid 7)")
        await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s"}}, "user anna (pid 7)", "")
        entries = [(fields["KIND"], fields.get("CAMERA"), fields.get("PLAN")) for _, _, fields in stage.entries[-2:]]
        assert entries == [("camera.asked", "top", None), ("plan.added", None, "mine")]
        assert {fields["BY"] for _, _, fields in stage.entries[-2:]} == {"user anna (pid 7)"}
        assert all(len(fields["MESSAGE_ID"]) == 32 for _, _, fields in stage.entries)

    played(tmp_path, CONFIG, TOP)(scene)


def test_health_says_what_is_wrong(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        health = await stage.agent.health()
        assert (health["healthy"], health["problems"]) == (False, ["camera left is absent: no camera has serial B2"])
        stage.present.plug(TOP, LEFT)
        await stage.ready("left")
        assert (await stage.agent.health())["healthy"]
        stats = await stage.agent.stats()
        assert set(stats["cameras"]) == {"top", "left"}
        assert stats["lateness"] == dict.fromkeys(stats["lateness"]) | {"count": 0}

    played(tmp_path, CONFIG, TOP)(scene)


def test_a_configuration_that_is_bad_from_the_start_starts_nothing(tmp_path):
    with pytest.raises(ConfigError, match="devise"):
        played(tmp_path, "cameras:\n  top: {devise: x}\n", TOP)(None)


def test_another_socket_is_told_to_need_a_restart_until_there_was_one(tmp_path):
    async def scene(stage):
        for _ in range(2):
            stage.write("socket: /run/other.sock\n" + CONFIG)
            assert (await stage.agent.config_diff())["changes"] == [RESTART]
            assert (await stage.agent.reload("a test"))["changes"] == [RESTART]
        stage.write(CONFIG)
        assert (await stage.agent.reload("a test"))["changes"] == []

    played(tmp_path, CONFIG, TOP)(scene)

"""Entries of the journal: fields to search by, one line for people."""

from agent.service.journal import Journal, in_words, message_id, usual_journal


def test_an_entry_has_fields_to_search_by():
    entries = []
    journal = Journal(lambda message, priority, fields: entries.append((message, priority, fields)))
    told = {"camera": "top", "state": "gone", "cause": "no camera has serial A1", "code": "camera_missing", "plan": ""}
    journal.tell("camera.changed", told)
    ((message, priority, fields),) = entries
    assert message == "camera top: gone, no camera has serial A1"
    assert priority == 4
    assert fields == {
        "CAMERA": "top",
        "CODE": "camera_missing",
        "KIND": "camera.changed",
        "MESSAGE_ID": message_id("camera.changed"),
    }


def test_message_ids_stay_what_they_are():
    # whoever searches by them must find the entries of other versions too
    assert message_id("group.hangs") == "6c7ba037fce65c5e9b90b315d88082ae"
    assert message_id("camera.changed") != message_id("group.hangs")
    assert len(message_id("plan.ended")) == 32


def test_an_entry_says_who_asked_and_what_there_is_to_know():
    words = in_words("group.started", {"group": "top", "pid": 7, "starts": 1})
    assert words == 'group top: group.started {"pid": 7, "starts": 1}'
    assert in_words("plan.added", {"plan": "p", "group": "g", "by": "anna"}) == "plan p: plan.added (asked by anna)"


def test_without_systemd_it_goes_elsewhere():
    entries = []
    journal = usual_journal({}, lambda *entry: entries.append(entry))
    journal.tell("config.reloaded", {"by": "anna"})
    assert entries[0][:2] == ("config.reloaded (asked by anna)", 5)

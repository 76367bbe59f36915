"""The sheet: every picture has its place, and what cannot be shown says why."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageStat
from pipeline.synthetic import CIRCUMSTANCES, frame_of, open_picture

from agent.errors import InputError, StorageError
from agent.pipeline.contact_sheet import Sheet, contact_sheet, write_contact_sheet
from agent.pipeline.encode import PictureKind
from agent.pipeline.writer import PictureWriter

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]


def _capture(folder, kind=PictureKind.PNG, count=5, code="BGR3", size=(48, 64)):
    with PictureWriter(folder, "bench", kind) as writer:
        return [
            writer.write(
                replace(frame_of(code, np.full((*size, 3), COLOURS[n], np.uint8)), timestamp_ns=1_000_000_000 * n),
                CIRCUMSTANCES,
            )
            for n in range(count)
        ]


def test_pictures_stand_in_rows_in_their_order(tmp_path):
    records = _capture(tmp_path)
    sheet = Sheet(tile_width_px=64, gap_px=10, columns=3)
    pixels = np.asarray(contact_sheet(tmp_path, records, sheet))
    seen = [tuple(int(value) for value in COLOURS[n][::-1]) for n in range(5)]
    places = [_centre(pixels, colour) for colour in seen]
    rows = [places[:3], places[3:]]
    assert all(abs(a[0] - row[0][0]) < 2 for row in rows for a in row)
    assert rows[0][0][0] < rows[1][0][0]
    assert [x for _, x in rows[0]] == sorted(x for _, x in rows[0])
    assert abs(rows[1][0][1] - rows[0][0][1]) < 2


def _centre(pixels, colour):
    ys, xs = np.nonzero((pixels == colour).all(axis=-1))
    assert ys.size == 64 * 48
    return ys.mean(), xs.mean()


def test_the_caption_changes_with_what_it_says(tmp_path):
    (record,) = _capture(tmp_path, count=1)
    plain = contact_sheet(tmp_path, [record])
    for change in ({"exposure_ns": None}, {"gain": None}, {"lost_before": 3}, {"camera": "other"}):
        assert contact_sheet(tmp_path, [replace(record, **change)]).tobytes() != plain.tobytes()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_sheet_is_about_three_to_two(tmp_path, count):
    image = contact_sheet(tmp_path, _capture(tmp_path, count=count))
    assert 0.6 < image.width / image.height < 2.6


@pytest.mark.parametrize("code", ["Y10", "Y16"])
def test_sixteen_bit_pictures_are_shown_in_their_brightness(tmp_path, code):
    records = _capture(tmp_path, code=code, count=1)
    image = contact_sheet(tmp_path, records, Sheet(tile_width_px=64, gap_px=10))
    red, green, blue = COLOURS[0][::-1]
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    found = np.asarray(image.convert("L")).astype(float)
    assert (np.abs(found - expected) <= 1.5).sum() >= 64 * 48


def test_raw_and_damaged_pictures_keep_their_place(tmp_path):
    records = _capture(tmp_path, PictureKind.RAW, count=2)
    damaged = tmp_path / records[1].file
    damaged.rename(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    image = contact_sheet(tmp_path, [records[0], replace(records[1], file="x.png")])
    assert ImageStat.Stat(image.convert("L")).stddev[0] > 0


@pytest.mark.parametrize(("name", "kind"), [("sheet.jpg", "JPEG"), ("sheet.png", "PNG")])
def test_a_sheet_is_written(tmp_path, name, kind):
    records = _capture(tmp_path)
    write_contact_sheet(tmp_path / name, records)
    assert open_picture(tmp_path / name).format == kind
    with pytest.raises(StorageError):
        write_contact_sheet(tmp_path / name, records)


def test_what_cannot_be_a_sheet(tmp_path):
    records = _capture(tmp_path, count=1)
    with pytest.raises(InputError, match="gif"):
        write_contact_sheet(tmp_path / "sheet.gif", records)
    with pytest.raises(InputError):
        contact_sheet(tmp_path, [])
    (tmp_path / records[0].file).unlink()
    with pytest.raises(StorageError):
        contact_sheet(tmp_path, records)


def test_long_names_are_cut(tmp_path):
    (record,) = _capture(tmp_path, count=1)
    image = contact_sheet(tmp_path, [replace(record, camera="c" * 300)], Sheet(tile_width_px=100))
    assert image.width < 200


def test_frames_need_no_common_shape(tmp_path):
    first = _capture(tmp_path / "a", count=1, size=(48, 64))
    second = _capture(tmp_path / "a", count=1, size=(128, 64))
    assert contact_sheet(tmp_path / "a", first + second).height > 0

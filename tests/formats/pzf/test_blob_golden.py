"""Against the bytes that the original wrote."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.errors import DamagedData, Malformed, Truncated
from galvo.formats import pzf

COMPRESSIONS = {0: "raw", 1: "huffman", 2: "chunks"}

# saturated where the original wraps around; the flag tells that nothing was quantised; bytes that no writer adds
WRITTEN_OTHERWISE = {"quant_u2_ramp_wrap", "quant_u2_dequant_overflow", "v3_rawquant_unquantised", "v3_huff_trailing"}

# what the file names stand for
ERRORS = {
    "bad_magic.pzf": (Malformed, "byte 0: not a PZF frame"),
    "bad_short_header.pzf": (Truncated, "byte 40: the header is cut off; found 40 bytes; expected 64"),
    "bad_v3_short48.pzf": (Truncated, "byte 50: the header is cut off; found 50 bytes; expected 64"),
    "bad_trunc_payload.pzf": (DamagedData, "byte 64: the Huffman stream cannot be decoded: the stream ends"),
    "bad_no_payload.pzf": (Truncated, "byte 64: the frame needs more bits than there are; found 0 bytes"),
    "bad_deep_tree.pzf": (DamagedData, "byte 64: .* more than 511 nodes"),
    "bad_bomb.pzf": (Malformed, "byte 20: impossible size of the frame"),
    "bad_bomb2.pzf": (Truncated, "byte 64: the frame needs more bits than there are; found 2 bytes"),
    "bad_enum_fmt.pzf": (Malformed, "byte 3: impossible DataFormat; found 9"),
    "bad_enum_comp.pzf": (Malformed, "byte 4: impossible DataCompression; found 9"),
    "bad_order.pzf": (Malformed, "byte 6: impossible DimOrder; found b'X'"),
    "bad_dataoffset.pzf": (Truncated, "byte 613: the payload is missing"),
    "bad_chunk_len.pzf": (Truncated, "byte 74: the payload ends inside chunk 0 of 2"),
    "bad_chunk_raw.pzf": (Malformed, "byte 74: chunk 0 of 2 is to decode to more than its bits"),
    "bad_raw_short.pzf": (Truncated, "byte 64: fewer bytes than the frame has; found 510 bytes; expected 512"),
    "bad_raw_long.pzf": (Malformed, "byte 64: more bytes than the frame has; found 514 bytes; expected 512"),
}


def test_every_vector_decodes_exactly(golden_pzf):
    for name, vector in golden_pzf.vectors.items():
        expected = golden_pzf.array(vector["expected"])
        pixels, header = pzf.loads(golden_pzf.read(vector["file"]))
        assert header.shape == expected.shape == tuple(vector["shape"]), name
        assert pixels.dtype == expected.dtype == header.dtype, name
        assert pixels.shape == (expected.shape[:2] if expected.shape[2] == 1 else expected.shape), name
        # bytes, so that NaN equals itself
        assert pixels.tobytes() == expected.tobytes(), name
        contiguous = pixels.flags.f_contiguous if vector["order"] == "F" else pixels.flags.c_contiguous
        assert contiguous, name
    assert len(golden_pzf.vectors) == 51


def test_headers(golden_pzf):
    for name, vector in golden_pzf.vectors.items():
        told, header = vector["header"], pzf.load_header(golden_pzf.read(vector["file"]))
        assert header.version == told["Version"], name
        assert COMPRESSIONS[told["DataCompression"]] == header.compression, name
        assert ("sqrt" if told["DataQuantization"] else None) == header.quantize, name
        assert (told["DimOrder"] or "C") == header.order, name
        assert (told["SequenceID"], told["FrameNum"]) == (header.sequence_id, header.frame_number), name
        assert told["FrameTimestamp"] == header.frame_timestamp, name
        assert (told["QuantOffset"], told["QuantScale"]) == (header.quantize_offset, header.quantize_scale), name
        assert told.get("DataOffset", 48) == header.data_offset_bytes, name


def test_what_the_original_wrote_is_written_again(golden_pzf):
    count = 0
    for name, vector in golden_pzf.vectors.items():
        if not vector["origin"].startswith("PYME.dumps") or name in WRITTEN_OTHERWISE:
            continue
        header, options = vector["header"], vector["dumps_kwargs"]
        array = golden_pzf.array(vector.get("input", vector["expected"]))
        array = np.asfortranarray(array) if vector["order"] == "F" else np.ascontiguousarray(array)
        for threads in (1, 2):
            written = pzf.dumps(
                array,
                sequence_id=header["SequenceID"],
                frame_number=header["FrameNum"],
                frame_timestamp=header["FrameTimestamp"],
                compression=COMPRESSIONS[header["DataCompression"]],
                quantize="sqrt" if header["DataQuantization"] else None,
                quantize_offset=options.get("quantizationOffset", 0),
                quantize_scale=options.get("quantizationScale", 1),
                threads=threads,
            )
            assert written == golden_pzf.read(vector["file"]), name
        count += 1
    assert count == 34


@pytest.mark.parametrize("name", ["chunks_u2", "chunks_u1_odd", "chunks_quant_u2", "chunks_u2_F"])
def test_chunks_as_the_original_cut_them(golden_pzf, name):
    vector = golden_pzf.vectors[name]
    told = vector["header"]
    pixels = golden_pzf.array(vector["expected"])
    quantize = "sqrt" if told["DataQuantization"] else None
    levels = {"quantize_offset": told["QuantOffset"], "quantize_scale": told["QuantScale"]} if quantize else {}
    array = np.asfortranarray(pixels) if vector["order"] == "F" else np.ascontiguousarray(pixels)
    numbers = {"sequence_id": "SequenceID", "frame_number": "FrameNum", "frame_timestamp": "FrameTimestamp"}
    numbers = {ours: told[theirs] for ours, theirs in numbers.items()}
    written = pzf.dumps(array, compression="chunks", quantize=quantize, **numbers, **levels)
    if quantize:
        # quantising what was quantised is exact
        assert pzf.loads(written)[0].tobytes() == pixels.tobytes()
    assert written == golden_pzf.read(vector["file"])


def test_codes_saturate_where_the_original_wraps(golden_pzf):
    vector = golden_pzf.vectors["quant_u2_ramp_wrap"]
    ramp = golden_pzf.array(vector["input"])
    theirs, _ = pzf.loads(golden_pzf.read(vector["file"]))
    ours, _ = pzf.loads(pzf.dumps(ramp, quantize="sqrt"))
    theirs, ours, ramp = theirs.ravel(), ours.ravel(), ramp.ravel()
    beyond = ramp >= 65281
    assert beyond.any()
    assert (ours[beyond] == 255**2).all()
    assert (theirs[beyond] != ours[beyond]).all()
    assert np.array_equal(ours[~beyond], theirs[~beyond])


def test_pixels_saturate_where_the_original_wraps(golden_pzf):
    vector = golden_pzf.vectors["quant_u2_dequant_overflow"]
    pixels, _ = pzf.loads(golden_pzf.read(vector["file"]))
    wrapped = golden_pzf.array("quant_u2_dequant_overflow.peer.npy")
    different = pixels.ravel() != wrapped.ravel()
    assert different.any()
    assert (pixels.ravel()[different] == 65535).all()


def test_plain_pixels_under_the_flag(golden_pzf):
    blob = golden_pzf.read("v3_rawquant_unquantised.pzf")
    assert pzf.load_header(blob).quantize == "sqrt"
    pixels, header = pzf.loads(blob)
    assert header.quantize is None
    assert not pixels.flags.owndata


def test_every_malformed_one_raises(golden_pzf):
    assert sorted(golden_pzf.malformed) == sorted(ERRORS)
    for name in golden_pzf.malformed:
        kind, message = ERRORS[name]
        with pytest.raises(kind, match=f"^{name} at {message}") as caught:
            pzf.loads(golden_pzf.read(name), path=name)
        assert type(caught.value) is kind, name
        assert caught.value.path == name
        assert isinstance(caught.value.offset, int)

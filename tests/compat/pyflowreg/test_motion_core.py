"""pyflowreg.core and its utilities: names, numbers of the original, errors; what runs it, by name."""

from __future__ import annotations

import inspect
import json
import pickle
from collections import deque
from importlib import import_module

import numpy as np
import pytest
from scipy import ndimage

import galvo
from galvo.compat.pyflowreg import get_displacement
from galvo.compat.pyflowreg._runtime import RuntimeContext
from galvo.compat.pyflowreg.core import backend_registry, level_solver, optical_flow, warping
from galvo.compat.pyflowreg.core.diso_optical_flow import DisoOF
from galvo.compat.pyflowreg.motion_correction import parallelization
from galvo.compat.pyflowreg.util.image_processing import (
    apply_gaussian_filter,
    gaussian_filter_1d_half_kernel,
    normalize,
)
from galvo.compat.pyflowreg.util.resize_util import imresize_fused_gauss_cubic
from galvo.compat.pyflowreg.util.xcorr_prealignment import estimate_rigid_xcorr_2d

NAMES = {
    "pyflowreg": "get_displacement __version__",
    "pyflowreg.core": "compute_flow register_backend get_backend list_backends is_backend_available",
    "pyflowreg.core.backend_registry": "register_backend get_backend list_backends is_backend_available "
    "get_backend_executors",
    "pyflowreg.core.optical_flow": "get_displacement get_motion_tensor_gc get_motion_tensor_gray get_motion_tensor_cs "
    "add_boundary level_solver normalize_gnc_schedule normalize_warping_steps imregister_wrapper warpingDepth "
    "compute_flow compute_flow_gnc median_filter resize",
    "pyflowreg.core.level_solver": "compute_flow compute_flow_gnc set_boundary_2d nonlinearity_smoothness_2d",
    "pyflowreg.core.warping": "imregister_wrapper imregister_binary backward_valid_mask compute_batch_valid_masks "
    "align_sequence warpingDepth",
    "pyflowreg.core.diso_optical_flow": "DisoOF _diso_factory",
    "pyflowreg.motion_correction": "compensate_arr compensate_recording BatchMotionCorrector OFOptions QualitySetting "
    "OutputFormat ChannelNormalization FlowRegLive",
    "pyflowreg.motion_correction.OF_options": "OFOptions OutputFormat QualitySetting ChannelNormalization "
    "InterpolationMethod ConstancyAssumption NamingConvention get_mcp_schema",
    "pyflowreg.motion_correction.compensate_arr": "compensate_arr compensate_pair",
    "pyflowreg.motion_correction.compensate_recording": "compensate_recording BatchMotionCorrector RegistrationConfig",
    "pyflowreg.motion_correction.flow_reg_live": "FlowRegLive",
    "pyflowreg.motion_correction.parallelization": "BaseExecutor SequentialExecutor ThreadingExecutor "
    "MultiprocessingExecutor",
    "pyflowreg.motion_correction.parallelization.base": "BaseExecutor",
    "pyflowreg.motion_correction.parallelization.sequential": "SequentialExecutor",
    "pyflowreg.motion_correction.parallelization.threading": "ThreadingExecutor",
    "pyflowreg.motion_correction.parallelization.multiprocessing": "MultiprocessingExecutor",
    "pyflowreg._runtime": "RuntimeContext",
    "pyflowreg.util.image_processing": "normalize apply_gaussian_filter gaussian_filter_1d_half_kernel",
    "pyflowreg.util.xcorr_prealignment": "estimate_rigid_xcorr_2d",
    "pyflowreg.util.resize_util": "imresize_fused_gauss_cubic",
}
SIGNATURES = {
    get_displacement: "fixed, moving, alpha=(2, 2), update_lag=5, iterations=50, min_level=0, levels=50, eta=0.8, "
    "a_smooth=1.0, a_data=0.45, const_assumption='gc', uv=None, weight=None, level_solver_backend=None, "
    "gnc_schedule=None, warping_steps=None",
    warping.imregister_wrapper: "f2_level, u, v, f1_level, interpolation_method='cubic'",
    warping.align_sequence: "batch, displacement, reference, interpolation_method='cubic', n_workers=None",
    warping.warpingDepth: "eta, levels, m, n",
    level_solver.compute_flow: "J11, J22, J33, J12, J13, J23, weight, u, v, alpha_x, alpha_y, iterations, update_lag, "
    "a_data, a_smooth, hx, hy",
    backend_registry.register_backend: "name, factory, supported_executors=None",
    normalize: "arr, ref=None, channel_normalization='together', eps=1e-08",
    apply_gaussian_filter: "arr, sigma, mode='reflect', truncate=4.0",
    gaussian_filter_1d_half_kernel: "buffer, sigma_t, mode='reflect', truncate=4.0",
    estimate_rigid_xcorr_2d: "ref_img, mov_img, target_hw=(256, 256), up=1, normalization='phase', disambiguate=True, "
    "weight=None",
    DisoOF: "preset=2, finest_scale=2, gradient_descent_iterations=12, patch_size=8, patch_stride=4, "
    "use_mean_normalization=True, use_spatial_propagation=True",
}


@pytest.fixture(scope="module")
def golden(sample_data):
    path = sample_data.parent / "golden" / "pyflowreg" / "pyflowreg_golden.npz"
    if not path.is_file():
        pytest.skip("no outputs of the original: golden/pyflowreg beside the genuine recordings is absent")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("force", [True, False])
def test_names(force):
    # the suite's Python has no PyFlowReg: both ways lead to galvo
    galvo.compat.install("pyflowreg", force=force)
    try:
        for place, names in NAMES.items():
            module = import_module(place)
            for name in names.split():
                found = getattr(module, name)
                assert not inspect.ismodule(found), (place, name)
        from pyflowreg.motion_correction import compensate_arr

        assert callable(compensate_arr)
    finally:
        galvo.compat.uninstall("pyflowreg")
    # what stood in the way of the module of that name is back
    from galvo.compat.pyflowreg.motion_correction import compensate_arr

    assert callable(compensate_arr)


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__name__)
def test_signatures(function):
    parameters = inspect.signature(function).parameters.values()
    bare = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert ", ".join(bare) == SIGNATURES[function]


# ---- the solver ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("default", {}),
        ("q_a1p5", {"alpha": (1.5, 1.5), "levels": 100}),
        ("fast", {"alpha": (1.5, 1.5), "levels": 100, "min_level": 6}),
        ("aniso", {"alpha": (1, 4)}),
        ("gray", {"const_assumption": "gray", "alpha": 0.05}),
        ("cs", {"const_assumption": "cs"}),
        ("gnc", {"gnc_schedule": (0, 0.5, 1), "warping_steps": 2}),
        ("uv", {"uv": np.broadcast_to([0.7, -0.4], (96, 112, 2))}),
        ("w1d", {"weight": [0.8, 0.2]}),
        ("lag1", {"update_lag": 1, "iterations": 20}),
    ],
)
def test_displacements_of_the_original(golden, name, options):
    found = get_displacement(golden["fixed"], golden["moving"], **options)
    assert found.dtype == np.float64
    assert np.abs(found - golden[f"disp_{name}"]).mean() < 1e-2


def test_levels_of_the_original(golden):
    pair = golden["fixed"][..., 0], golden["moving"][..., 0]
    for name in ("gc", "gray", "cs"):
        tensor = np.stack(getattr(optical_flow, f"get_motion_tensor_{name}")(*pair, 1.25, 1.5), axis=-1)
        scale = np.abs(golden[f"tensor_{name}"]).max(axis=(0, 1))
        assert (np.abs(tensor - golden[f"tensor_{name}"]) <= 1e-4 * scale).mean() > 0.999
    parts = [part[..., None] for part in optical_flow.get_motion_tensor_gc(*pair, 1.0, 1.0)]
    ring = np.pad(np.ones((96, 112, 1)), ((1, 1), (1, 1), (0, 0)))
    zeros = np.zeros((98, 114))
    for smooth in ("1.0", "0.5"):
        rest = (*parts, ring, zeros, zeros)
        found = level_solver.compute_flow(*rest, 2, 3, 50, 5, [0.45], float(smooth), 1.5, 1.25)
        inner = np.abs(found - golden[f"solve_as{smooth}_it50"])[1:-1, 1:-1]
        assert inner.mean() < 1e-4
        du, dv = optical_flow.level_solver(*rest, [2, 3], 50, 5, 0, np.array([0.45]), float(smooth), 1.5, 1.25)
        assert np.array_equal(np.stack([du, dv], axis=-1), found)


def test_other_solvers_of_a_level(golden):
    seen = []

    def solver(*arguments):
        seen.append([np.shape(arguments[at]) for at in (0, 6, 7)])
        return optical_flow.level_solver(*arguments)

    options = {"alpha": (1.5, 1.5), "levels": 100, "min_level": 6}
    found = get_displacement(golden["fixed"], golden["moving"], level_solver_backend=solver, **options)
    assert np.abs(found - golden["disp_fast"]).mean() < 1e-2
    assert seen[0] == [(10, 10, 2), (10, 10, 2), (10, 10)]
    assert len(seen) == 7


def test_parts(golden):
    image = np.random.default_rng(0).normal(size=(5, 6))
    padded = optical_flow.add_boundary(image)
    assert np.array_equal(padded, np.pad(image, 1, mode="edge"))
    padded[1:-1, 1:-1] += 1
    assert level_solver.set_boundary_2d(padded) is None
    assert np.array_equal(padded, np.pad(image + 1, 1, mode="edge"))
    psi = np.zeros((5, 6))
    level_solver.nonlinearity_smoothness_2d(psi, image, image, image, -image, 5, 6, 0.5, 1.5, 1.25)
    y, x = np.gradient(2 * image, 1.25, 1.5)
    np.testing.assert_allclose(psi, 0.5 * (x**2 + y**2 + 1e-5) ** -0.5)
    for size in (16, 31, 64, 96, 112, 256, 512, 1000):
        for eta, expected in zip((0.8, 0.5), golden[f"depth_{size}"], strict=True):
            assert warping.warpingDepth(eta, 100, size, 2 * size) == expected
    for size in ((77, 90), (9, 11), (120, 130)):
        resized = imresize_fused_gauss_cubic(golden["fixed"], size)
        np.testing.assert_allclose(resized, golden[f"resize_{size[0]}x{size[1]}"], atol=1e-5)
    assert imresize_fused_gauss_cubic(golden["frames"][0, ..., 0], (40, 50)).dtype == np.uint16
    with pytest.raises(ValueError, match="sigma_coeff"):
        imresize_fused_gauss_cubic(image, (3, 3), sigma_coeff=1)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"moving": np.zeros((96, 112))}, AssertionError, "same dimensions"),
        ({"const_assumption": "colour"}, ValueError, "constancy"),
        ({"weight": [0, 0]}, ValueError, "weights"),
        ({"weight": np.ones((3, 3))}, ValueError, "weights"),
        ({"uv": np.zeros((3, 3, 2))}, ValueError, "start"),
        ({"gnc_schedule": (0, 2)}, ValueError, "gnc_schedule must"),
        ({"gnc_schedule": (0, 1), "warping_steps": 1.5}, ValueError, "positive integer"),
        ({"eta": 1}, ValueError, "eta"),
        ({"a_smooth": 0}, ValueError, "a_smooth"),
        ({"a_data": [0.4, 0.5, 0.6]}, ValueError, "shape"),
    ],
)
def test_what_the_solver_refuses(options, error, text):
    images = {"fixed": np.zeros((96, 112, 2)), "moving": np.zeros((96, 112, 2))}
    with pytest.raises(error, match=text):
        get_displacement(**{**images, **options})


# ---- warps, ranges, filters, shifts ----------------------------------------------------------------------------------


def test_warps_of_the_original(golden):
    u, v = golden["truth"][0, ..., 0], golden["truth"][0, ..., 1]
    frame, reference = golden["frames"][0], golden["reference"]
    for name in ("cubic", "linear"):
        found = warping.imregister_wrapper(frame.astype("f4"), u, v, reference, name)
        assert found.dtype == np.float32
        expected = golden[f"warp_{name}"]
        assert (np.abs(found - expected) <= 0.01 * np.ptp(expected)).mean() > 0.99
    integers = warping.imregister_wrapper(frame, u, v, reference)
    assert np.array_equal(integers, np.rint(integers))
    assert (np.abs(integers - golden["warp_cubic_u16"]) <= 0.01 * np.ptp(integers)).mean() > 0.99
    assert warping.imregister_wrapper(frame[..., :1], u, v, reference[..., 0]).shape == (96, 112)
    assert np.array_equal(warping.backward_valid_mask(u, v), golden["valid"])
    assert np.array_equal(warping.compute_batch_valid_masks(golden["truth"])[0], golden["valid"] * 255)
    aligned = warping.align_sequence(golden["frames"], golden["truth"][0], reference)
    assert aligned.dtype == np.uint16
    assert np.array_equal(aligned[0], integers)
    assert np.array_equal(
        warping.align_sequence(golden["frames"][..., 1], golden["truth"][0], reference[..., 1]), aligned[..., 1]
    )
    with pytest.raises(ValueError, match="Unsupported interpolation method"):
        warping.imregister_wrapper(frame, u, v, reference, "odd")


def test_moved_masks():
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = True
    ones = np.ones((6, 8))
    assert np.argwhere(warping.imregister_binary(mask, 2 * ones, ones)).tolist() == [[1, 1]]
    assert not warping.imregister_binary(~mask, 8 * ones, 0 * ones).any()


def test_ranges_and_filters_of_the_original(golden):
    reference = golden["reference"]
    prepared = apply_gaussian_filter(normalize(reference), np.array([[1, 1, 0.1]]))
    np.testing.assert_allclose(prepared, golden["fixed"], atol=1e-7)
    moved = normalize(golden["frames"][0], reference)
    np.testing.assert_allclose(apply_gaussian_filter(moved, [1, 1, 0.1]), golden["moving"], atol=1e-7)
    movie = golden["frames"].astype("f8")
    separate = normalize(movie, channel_normalization="separate")
    assert separate.min(axis=(0, 1, 2)).tolist() == [0, 0]
    np.testing.assert_allclose(separate.max(axis=(0, 1, 2)), 1)
    filtered = apply_gaussian_filter(movie, [[1, 1, 0.5], [2, 3, 1]])
    np.testing.assert_allclose(filtered[..., 1], ndimage.gaussian_filter(movie[..., 1], (1, 2, 3)), rtol=1e-12)
    assert apply_gaussian_filter(movie[0, ..., 0], [1, 1, 1]) is not None
    assert np.array_equal(apply_gaussian_filter(movie[0, ..., 0], [1, 1, 1]), movie[0, ..., 0])


def test_filter_of_the_last_frames():
    frames = deque([np.full((2, 2), value) for value in (1.0, 5.0)])
    assert np.array_equal(gaussian_filter_1d_half_kernel(frames, 0.1), frames[-1])
    weight = np.exp(-0.5 / 0.64)
    np.testing.assert_allclose(gaussian_filter_1d_half_kernel(frames, 0.8), (5 + weight) / (1 + weight))
    assert gaussian_filter_1d_half_kernel(deque(), 1) is None


def test_shifts_of_the_original(golden):
    pair = golden["fixed"][..., 0], golden["moving"][..., 0]
    np.testing.assert_allclose(estimate_rigid_xcorr_2d(*pair, up=10), golden["xcorr_up10"], atol=1e-3)


def test_shifts_of_oblong_images():
    """The original confuses rows and columns of these."""
    image = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(128, 512)), 3)
    for one in (image, image.T):
        moved = np.roll(one, (3, 7), axis=(0, 1))
        np.testing.assert_allclose(estimate_rigid_xcorr_2d(one, moved, up=10), (7, 3), atol=0.6)
    several = np.stack([image] * 2, axis=2)
    maps = np.full((*image.shape, 2), 0.5)
    found = estimate_rigid_xcorr_2d(several, np.roll(several, 4, axis=1), target_hw=512, weight=maps)
    assert found.tolist() == [4, 0]


# ---- by name ---------------------------------------------------------------------------------------------------------


def test_backends(monkeypatch):
    assert "flowreg" in backend_registry.list_backends()
    assert backend_registry.get_backend("flowreg")(odd=1) is get_displacement
    assert {"sequential", "threading", "multiprocessing"} < backend_registry.get_backend_executors("flowreg")
    assert not {"flowreg_torch", "flowreg_cuda"} & set(backend_registry.list_backends())
    with pytest.raises(ValueError, match=r"Unknown flow backend: 'zz'. Available backends: \['flowreg'"):
        backend_registry.get_backend("zz")
    with pytest.raises(ValueError, match="Unknown flow backend"):
        backend_registry.get_backend_executors("zz")
    monkeypatch.delitem(backend_registry._BACKENDS, "diso", raising=False)
    with pytest.raises(ValueError, match=r"Unknown flow backend: 'diso'.*OpenCV.*pip install"):
        backend_registry.get_backend("diso")
    backend_registry.register_backend("own", lambda **params: len, {"sequential"})
    try:
        assert backend_registry.is_backend_available("own")
        assert backend_registry.get_backend_executors("own") == {"sequential"}
    finally:
        del backend_registry._BACKENDS["own"]


def test_inverse_search():
    solver = pickle.loads(pickle.dumps(DisoOF(patch_size=6)))
    solver.set_preset(1)
    assert solver.get_params()["preset"] == 1
    assert solver.get_params()["patch_size"] == 6
    with pytest.raises(ValueError, match="no such parameter"):
        solver.set_params(zz=1)
    image = np.zeros((40, 40))
    if "diso" in backend_registry.list_backends():
        assert solver(image, image).shape == (40, 40, 2)
    else:
        with pytest.raises(ImportError, match="pip install opencv"):
            solver(image, image)


def test_executors_by_name():
    expected = {
        "sequential": parallelization.SequentialExecutor,
        "threading": parallelization.ThreadingExecutor,
        "multiprocessing": parallelization.MultiprocessingExecutor,
    }
    for name, kind in expected.items():
        assert RuntimeContext.get_parallelization_executor(name) is kind
        with kind(n_workers=2) as executor:
            assert executor.get_info()["name"] == name
            assert executor.get_info()["n_workers"] == (1 if name == "sequential" else 2)
    assert RuntimeContext.get_parallelization_executor("zz") is None
    assert RuntimeContext.get_optimal_parallelization() == "threading"


def test_settings(monkeypatch):
    before = RuntimeContext.snapshot()
    assert json.loads(json.dumps(before)) == before
    try:
        assert RuntimeContext.get("zz", 4) == 4
        with RuntimeContext.use(max_workers=3, zz=1):
            assert RuntimeContext.get("max_workers") == parallelization.ThreadingExecutor().n_workers == 3
            assert RuntimeContext.snapshot()["overrides"] == {"max_workers": 3, "zz": 1}
        assert RuntimeContext.get("zz") is None
        RuntimeContext.set("max_workers", 5)
        monkeypatch.setenv("PYFLOWREG_CONTEXT", "")
        RuntimeContext.to_env()
        RuntimeContext.set("max_workers", 6)
        RuntimeContext.from_env()
        assert RuntimeContext.get_info()["max_workers"] == 5
        assert "threading" in RuntimeContext.get_available_parallelization()
        RuntimeContext.require_parallelization("threading")
        with pytest.raises(RuntimeError, match="Parallelization mode 'zz' is not available"):
            RuntimeContext.require_parallelization("zz")
        with pytest.raises(RuntimeError, match="Backend 'zz' is not available"):
            RuntimeContext.require_backend("zz")
    finally:
        RuntimeContext.from_snapshot(before)


def test_settings_on_the_terminal(capsys):
    RuntimeContext.print_info()
    assert "Available Parallelization:" in capsys.readouterr().out

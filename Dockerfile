# The production image: one static binary and the public certificate authorities, nothing else.
#   docker build -t hookswitch/hookswitch .
# It is built for the architecture that it is built on, amd64 or arm64; for the other one, or for both at once, with
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/hookswitch --push .
# which builds the other one under emulation, slowly. `make images ARCH=arm64` builds it across.
# BUILDER is any image with the Rust toolchain of rust-toolchain.toml, a C compiler and make.
ARG BUILDER=rust:1.95-bookworm
FROM ${BUILDER} AS builder
WORKDIR /src
COPY . .
# The target is named, so that the static C runtime is asked of the binary and not of the compiler's plug-ins. On arm64 the
# allocator is made for the largest pages of memory that a kernel may have: on some machines they are of 64 KiB.
RUN target=$(rustc --version --verbose | sed -n 's/^host: //p') \
 && case $target in aarch64-*) export JEMALLOC_SYS_WITH_LG_PAGE=16;; esac \
 && RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" cargo build --release --locked --target "$target" --bin hookswitch \
 && cp "target/$target/release/hookswitch" /hookswitch

FROM scratch AS runtime
COPY --from=builder /hookswitch /hookswitch
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# in numbers: a pod that must not run as root is let run only when the image says so
USER 65532:65532
ENTRYPOINT ["/hookswitch"]

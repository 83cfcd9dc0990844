# The production image: one static binary and the public certificate authorities, nothing else.
#   docker build -t hookswitch/hookswitch .
# BUILDER is any image with the Rust toolchain of rust-toolchain.toml and a C compiler.
ARG BUILDER=rust:1.95-bookworm
FROM ${BUILDER} AS builder
WORKDIR /src
COPY . .
# The target is named, so that the static C runtime is asked of the binary and not of the compiler's plug-ins.
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target x86_64-unknown-linux-gnu --bin hookswitch \
 && cp target/x86_64-unknown-linux-gnu/release/hookswitch /hookswitch

FROM scratch AS runtime
COPY --from=builder /hookswitch /hookswitch
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/hookswitch"]

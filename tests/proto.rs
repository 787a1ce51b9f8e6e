//! What is committed in `src/grpc` is what the proto gives, without a protoc on anybody's machine.

use std::fs;
use std::path::{Path, PathBuf};

const PROTO: &str = "meridian/v1/ids.proto";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Holds a committed file against what it should be, or writes it.
fn hold(name: &str, fresh: &[u8]) {
    let path = root().join("src/grpc").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, fresh).unwrap();
    }
    let committed = fs::read(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "src/grpc/{name} is not what proto/{PROTO} gives; run UPDATE=1 cargo test --test proto"
    );
}

#[test]
fn generated_code_is_what_the_proto_gives() {
    let mut compiler = protox::Compiler::new([root().join("proto")]).unwrap();
    compiler.include_source_info(true).include_imports(true).open_file(PROTO).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        // Callers bring their own; ours is for tests.
        .client_mod_attribute(".", "#[cfg(test)]")
        .out_dir(folder.path())
        .compile_fds(compiler.file_descriptor_set())
        .unwrap();
    let code = fs::read_to_string(folder.path().join("meridian.v1.rs")).unwrap();
    hold("meridian.v1.rs", code.as_bytes());
}

/// Reflection gives this away as it is, so it has no comments.
#[test]
fn descriptors_are_what_the_proto_gives() {
    let mut compiler = protox::Compiler::new([root().join("proto")]).unwrap();
    compiler.include_source_info(false).include_imports(true).open_file(Path::new(PROTO)).unwrap();
    hold("meridian.v1.bin", &compiler.encode_file_descriptor_set());
}

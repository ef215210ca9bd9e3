//! Compiles the published wire schema without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "wire")]
    {
        let descriptors = protox::compile(["proto/procmon.proto"], ["proto"])?;
        prost_build::Config::new()
            .bytes(["."])
            .compile_fds(descriptors)?;
    }
    Ok(())
}

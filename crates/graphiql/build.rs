//! Builds the GraphiQL assets from `ui/`.
//!
//! If `ui/dist` exists, it is used. Otherwise npm builds GraphiQL in a copy of `ui/`, so that the source tree stays as it
//! is. Without npm, without its registry, or with `GATHERUM_GRAPHIQL=off`, a small page without GraphiQL takes its place
//! and cargo prints a warning.
use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The inputs of a build of `ui/`.
const SOURCES: [&str; 6] = ["index.html", "package.json", "package-lock.json", "vite.config.js", ".npmrc", "src"];

fn main() -> Result<()> {
    let ui = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../ui");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-env-changed=GATHERUM_GRAPHIQL");
    for source in SOURCES.iter().chain(&["dist", "fallback.html", "fallback.css", "fallback.js"]) {
        // A path that does not exist would make cargo rebuild each time.
        if ui.join(source).exists() {
            println!("cargo:rerun-if-changed=../../ui/{source}");
        }
    }
    let files = match graphiql(&ui, &out) {
        Ok(dist) => files_below(&dist, &dist)?,
        Err(reason) => {
            println!("cargo:warning=a small page replaces GraphiQL: {reason}");
            let name = |name: &str| (name.to_owned(), ui.join(name));
            vec![("index.html".to_owned(), ui.join("fallback.html")), name("fallback.css"), name("fallback.js")]
        }
    };
    embed(&files, &out)
}

/// The folder with GraphiQL, which npm builds if it does not exist.
fn graphiql(ui: &Path, out: &Path) -> Result<PathBuf> {
    if env::var("GATHERUM_GRAPHIQL").as_deref() == Ok("off") {
        return Err("GATHERUM_GRAPHIQL is off".into());
    }
    let dist = ui.join("dist");
    if dist.join("index.html").exists() {
        return Ok(dist);
    }
    let copy = out.join("ui");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    for source in SOURCES {
        copy_all(&ui.join(source), &copy.join(source))?;
    }
    npm(&copy, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(&copy, &["run", "build"])?;
    fs::remove_dir_all(copy.join("node_modules"))?;
    Ok(copy.join("dist"))
}

fn npm(folder: &Path, args: &[&str]) -> Result<()> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(program).args(args).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.map_err(|_| "npm is not there")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| line.contains("rror")).unwrap_or("it failed");
    Err(format!("npm {}: {first}", args[0]).into())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to)?;
    Ok(())
}

/// All files below a folder, with their paths in it.
fn files_below(root: &Path, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files.extend(files_below(root, &path)?);
        } else {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
    Ok(files)
}

/// Writes the files, compressed, and a table of them.
fn embed(files: &[(String, PathBuf)], out: &Path) -> Result<()> {
    let mut table = String::from("&[\n");
    for (index, (name, path)) in files.iter().enumerate() {
        let packed = out.join(format!("file-{index}.gz"));
        let mut encoder = GzEncoder::new(fs::File::create(&packed)?, Compression::best());
        encoder.write_all(&fs::read(path)?)?;
        encoder.finish()?;
        writeln!(table, "    File {{ name: {name:?}, gzip: include_bytes!({:?}) }},", packed.display().to_string())?;
    }
    table.push(']');
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

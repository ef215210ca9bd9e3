//! Encryption of what is kept at rest: addresses and secrets of channels. The key is in a file of its own, so that a copy of
//! the database alone tells nobody anything.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, anyhow, bail};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;

/// The key, read when it is first needed.
#[derive(Debug)]
pub struct KeyFile {
    /// Without one the key ends with the server.
    path: Option<PathBuf>,
    key: Mutex<Option<LessSafeKey>>,
    random: SystemRandom,
}

impl KeyFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            key: Mutex::default(),
            random: SystemRandom::new(),
        }
    }

    /// Encrypts; `owner` has to be the same to decrypt, so that nobody can pass what is one's on to another.
    pub fn seal(&self, owner: &str, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        // Random ones are good for four billion messages of one key; here are a few for each change of a channel.
        self.fill(&mut nonce)?;
        let mut text = plain.to_vec();
        self.with_key(true, |key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, Aad::from(owner.as_bytes()), &mut text)
                .map_err(|_| anyhow!("it cannot be encrypted"))
        })?;
        let mut sealed = vec![VERSION];
        sealed.extend(nonce);
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Decrypts what [`Self::seal`] made for the same owner.
    pub fn open(&self, owner: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Some((&VERSION, rest)) = sealed.split_first() else {
            bail!("it was encrypted by another version");
        };
        let (nonce, text) = rest
            .split_first_chunk::<NONCE_LEN>()
            .context("it is cut short")?;
        let mut text = text.to_vec();
        self.with_key(false, |key| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key
                .open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text)
                .map_err(|_| anyhow!("it was encrypted with another key than {}", self.place()))?;
            Ok(plain.to_vec())
        })
    }

    fn place(&self) -> String {
        let path = self.path.as_deref().map(Path::display);
        path.map_or_else(|| "that of this run".to_owned(), |path| path.to_string())
    }

    fn with_key<T>(
        &self,
        may_make: bool,
        work: impl FnOnce(&LessSafeKey) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut key = self
            .key
            .lock()
            .map_err(|_| anyhow!("an earlier use of the key failed"))?;
        let key = match &mut *key {
            Some(key) => key,
            none => none.insert(self.load(may_make)?),
        };
        work(key)
    }

    fn load(&self, may_make: bool) -> anyhow::Result<LessSafeKey> {
        let bytes = match &self.path {
            None => self.make()?,
            Some(path) => match read(path)? {
                Some(bytes) => bytes,
                None if may_make => {
                    write(path, &self.make()?)?;
                    // Another one that was made in the same moment is the one.
                    read(path)?.with_context(|| format!("{} has gone", path.display()))?
                }
                None => bail!(
                    "the key {} is missing: bring it back, or give the channel its URL and its secret again",
                    path.display()
                ),
            },
        };
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &bytes);
        Ok(LessSafeKey::new(
            unbound.map_err(|_| anyhow!("the key cannot be used"))?,
        ))
    }

    fn make(&self) -> anyhow::Result<[u8; KEY_BYTES]> {
        let mut bytes = [0; KEY_BYTES];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8]) -> anyhow::Result<()> {
        let filled = self.random.fill(bytes);
        filled.map_err(|_| anyhow!("the system gives no random numbers"))
    }
}

fn read(path: &Path) -> anyhow::Result<Option<[u8; KEY_BYTES]>> {
    use std::os::unix::fs::PermissionsExt;

    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if file.permissions().mode() & 0o077 != 0 {
        bail!(
            "others may read the key {}: chmod 600 it, and give channels new secrets if they did",
            path.display()
        );
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = bytes.try_into().map_err(|_| {
        anyhow!(
            "{} is not a key of procmon-server: it must have {KEY_BYTES} bytes",
            path.display()
        )
    })?;
    Ok(Some(key))
}

/// The file appears whole, readable by its owner alone, and is never replaced.
fn write(path: &Path, key: &[u8; KEY_BYTES]) -> anyhow::Result<()> {
    let folder = path.parent().context("the key file has no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    file.write_all(key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper/secret.key");
        let sealed = KeyFile::new(Some(path.clone()))
            .seal("a", b"hunter2")
            .expect("it encrypts");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let mode = std::fs::metadata(&path).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let again = KeyFile::new(Some(path.clone()));
        assert_eq!(again.open("a", &sealed).expect("it opens"), b"hunter2");
        for (owner, sealed) in [("b", &*sealed), ("a", &sealed[..20]), ("a", b"")] {
            assert!(again.open(owner, sealed).is_err());
        }
        let mut changed = sealed.clone();
        *changed.last_mut().expect("a byte") ^= 1;
        assert!(again.open("a", &changed).is_err());
    }

    #[test]
    fn a_key_that_is_missing_or_open_to_others_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.key");
        let sealed = KeyFile::new(Some(path.clone()))
            .seal("a", b"hunter2")
            .expect("it encrypts");
        let refused = |wanted| {
            let error = KeyFile::new(Some(path.clone())).open("a", &sealed);
            let error = format!("{:#}", error.expect_err("refused"));
            assert!(error.contains(wanted), "{error}");
        };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("it is ours");
        refused("chmod 600");
        std::fs::remove_file(&path).expect("it is ours");
        refused("is missing");
        assert!(!path.exists(), "no new key hides the loss");
        std::fs::write(&path, b"short").expect("it is ours");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
        refused("32 bytes");
    }
}

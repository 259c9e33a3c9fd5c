//! Completions for bash, zsh and fish, under the names that these look for.

use clap_complete::Shell;
use std::io;
use std::path::Path;

/// Writes them, into a folder for each shell.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let place = folder.join(shell.to_string());
        std::fs::create_dir_all(&place)?;
        for mut program in crate::programs() {
            let name = program.get_name().to_owned();
            let path = clap_complete::generate_to(shell, &mut program, &name, &place)?;
            // bash-completion loads the file that has the command's own name.
            if shell == Shell::Bash {
                std::fs::rename(path, place.join(name))?;
            }
        }
    }
    Ok(())
}

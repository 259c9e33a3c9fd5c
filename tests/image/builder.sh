#!/bin/sh
# A root file system in the place of the image `rust`, for where there is no registry: Debian 12 with a C compiler, and this
# machine's own Rust and the crates that it has fetched.
#
#     tests/image/builder.sh FOLDER
#
# As root, with debootstrap. A folder that is whole is left as it is.
set -eu
folder=$1
[ ! -e "$folder/laid" ] || exit 0
rm -rf "$folder"
debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,make bookworm "$folder" "${MIRROR:-http://deb.debian.org/debian}"
rm -rf "$folder"/var/lib/apt/lists/* "$folder"/var/cache/apt/archives/*.deb
mkdir -p "$folder/usr/local/cargo" "$folder/usr/local/rust"
toolchain=$(rustc --print sysroot)
cp -a "$toolchain/bin" "$folder/usr/local/rust/"
mkdir -p "$folder/usr/local/rust/lib"
# Without documentation and sources.
find "$toolchain/lib" -maxdepth 1 -name '*.so*' -exec cp -a {} "$folder/usr/local/rust/lib/" \;
cp -a "$toolchain/lib/rustlib" "$folder/usr/local/rust/lib/"
rm -rf "$folder/usr/local/rust/lib/rustlib/src"
cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$folder/usr/local/cargo/"
for program in cargo rustc; do
    ln -s "../rust/bin/$program" "$folder/usr/local/bin/$program"
done
touch "$folder/laid"

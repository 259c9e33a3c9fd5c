#!/bin/sh
pgbackrest-guard setup || true

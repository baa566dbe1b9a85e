module versiond/bench

go 1.19

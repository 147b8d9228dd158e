// swift-tools-version:5.9

import PackageDescription

let package = Package(
    name: "HiveSync",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "HiveSync", targets: ["HiveSync"])],
    targets: [
        // What Swift adds, by hand.
        .target(name: "HiveSync", dependencies: ["HiveSyncFFI"]),
        // The binding, as it is generated.
        .target(name: "HiveSyncFFI", dependencies: ["HiveSyncFFIFFI"]),
        // The C interface of the native library, whose directory the linker must be told.
        .systemLibrary(name: "HiveSyncFFIFFI"),
        .testTarget(name: "HiveSyncTests", dependencies: ["HiveSync"]),
        .executableTarget(name: "Scenario", dependencies: ["HiveSync"], path: "Tests/Scenario"),
    ]
)

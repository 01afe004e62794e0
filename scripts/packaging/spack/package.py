# Spack's recipe of tfrun. In a repository of packages it is packages/tfrun/package.py:
#   spack repo create ~/tfrun-spack tfrun; spack repo add ~/tfrun-spack
#   mkdir -p ~/tfrun-spack/packages/tfrun; cp scripts/packaging/spack/package.py ~/tfrun-spack/packages/tfrun
#   spack dev-build tfrun@develop        from the project's folder
try:  # Spack 1.0 has its build systems in a repository
    from spack_repo.builtin.build_systems.cmake import CMakePackage
except ImportError:
    pass
from spack.package import *


class Tfrun(CMakePackage):
    """GPT-2 models on CPUs: a DAG of kernel plugins on threads and MPI ranks, with the same bits for any number of both."""

    homepage = "https://example.org/tfrun"
    url = "file:///srv/tfrun/tfrun-0.1.0.tar.xz"
    license("MIT", checked_by="tfrun")

    version("develop", no_cache=True)

    variant("mpi", default=True, description="Ranks over MPI")
    variant("onednn", default=True, description="Matrix products of oneDNN")
    variant("hwloc", default=True, description="Read the machine through hwloc")
    variant("openmp", default=True, description="Threads through OpenMP; otherwise a pthread team")
    variant("libzip", default=True, description="Read the zip archives of torch.save")
    variant("libedit", default=True, description="Edit the lines of tfrun repl")

    depends_on("c", type="build")
    depends_on("cmake@3.22:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("python@3.9:", type="build")  # manual pages and completions
    depends_on("cjson")
    depends_on("mpi", when="+mpi")
    depends_on("onednn@2.6: cpu_runtime=omp", when="+onednn")
    depends_on("hwloc@2:", when="+hwloc")
    depends_on("libzip", when="+libzip")
    depends_on("libedit", when="+libedit")

    generator("ninja")

    def cmake_args(self):
        parts = ("mpi", "onednn", "hwloc", "openmp", "libzip", "libedit")
        args = [self.define_from_variant(f"TFRUN_WITH_{part.upper()}", part) for part in parts]
        return args + [self.define("TFRUN_BUILD_TESTS", False), self.define("TFRUN_BUILD_BENCH", False),
                       self.define("TFRUN_SYSTEMD_FOLDER", "")]

    @run_after("install")
    @on_package_attributes(run_tests=True)
    def writes_its_story(self):
        tfrun = Executable(self.prefix.bin.tfrun)
        tfrun(join_path(self.prefix.share, "tfrun", "configs", "demo"), "-n", "8")

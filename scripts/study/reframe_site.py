"""How ReFrame starts ranks: tfrun:mpirun here, tfrun:srun in steps of an allocation, tfrun:sbatch as jobs of their own.

Environments are those that the shell has. A site with modules, partitions and accounts has a file of its own in place of this one.
"""
PARTITIONS = (("mpirun", "local", "mpirun", []), ("srun", "local", "srun", []), ("sbatch", "squeue", "srun", []))

site_configuration = {
    "systems": [{
        "name": "tfrun",
        "descr": "the machine that this runs on",
        "hostnames": [".*"],
        "partitions": [{"name": name, "scheduler": scheduler, "launcher": launcher, "access": access, "environs": ["shell"],
                        "max_jobs": 1} for name, scheduler, launcher, access in PARTITIONS],
    }],
    "environments": [{"name": "shell", "cc": "cc", "cxx": "c++", "ftn": ""}],
}

$line0 << end
1 1.000000 1.000000 1.000000
2 1.336190 1.334375 1.338006
4 0.997919 0.986839 1.002361
end
set terminal svg size 760,560 dynamic noenhanced font 'sans-serif,13' background '#ffffff'
set title 'strong scaling, prefill 256: 6 blocks of 256, 4 heads, vocabulary of 6144, f32, kv f32'
set xlabel 'cores: ranks times threads'
set ylabel 'speed-up, with an interval of 95 %'
set logscale xy 2
set grid
set key below left Left reverse width -20
set offsets graph 0.05, graph 0.05, 0, 0
plot x / 1 title 'ideal' with lines dashtype 2 linecolor '#7f7f7f', \
  $line0 using 1:2:3:4 title 'simulated, 1 thread a rank, plugins=build/tests/plugins/clock_plugin.so runtime.kernels=clock' with yerrorlines linewidth 1.5 linecolor '#0072b2' pointtype 6 dashtype 4

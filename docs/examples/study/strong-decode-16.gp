$line0 << end
1 1 1 1
2 1.099612 0.973264 1.290824
3 0.847336 0.772512 0.972999
4 0.834977 0.785276 0.990113
end
$line1 << end
1 1 1 1
2 0.954101 0.925301 1.094892
3 0.895354 0.795085 0.991657
4 0.758807 0.661502 1.001009
end
set terminal svg size 760,600 dynamic noenhanced font 'sans-serif,13' background '#ffffff'
set title 'Strong scaling: a token behind 16 cached positions' . "\n" . '12 blocks of 768, 12 heads, vocabulary of 50257, f32, kv f32; AMD EPYC'
set xlabel 'cores asked for: ranks times threads'
set ylabel 'speed-up over 1 core, bars: interval of 95 %'
set logscale xy 2
set grid
set bars 0.7
set key below left Left reverse width -20 maxcols 1
set xrange [0.9:4.4]
set yrange [0.45:4.4]
set ytics (0.03125, 0.0625, 0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024)
set xtics (1, 2, 3, 4)
set arrow from 2.44949, graph 0 to 2.44949, graph 1 nohead dashtype 3 linecolor '#7f7f7f'
set label 'more threads than cores' at 2.44949, graph 0.03 offset 0.5, 0 textcolor '#5f5f5f'
plot x / 1 title 'ideal' with lines dashtype 2 linecolor '#5f5f5f', \
  x / 1 / 2 title 'efficiency 50 %' with lines dashtype 3 linecolor '#9f9f9f', \
  $line0 using ($1 * 0.994):2:3:4 title 'measured, parallel.head=split, 1 thread a rank' with yerrorlines linewidth 1.5 linecolor '#0072b2' pointtype 7 pointsize 0.8, \
  $line1 using ($1 * 1.006):2:3:4 title 'measured, parallel.split=balanced, 1 thread a rank' with yerrorlines linewidth 1.5 linecolor '#d55e00' pointtype 7 pointsize 0.8

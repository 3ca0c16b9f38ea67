// Charts as SVG without a browser: drawn by ECharts, coloured by CSS variables of the page, so that light, dark and
// print each choose their own. Drawn twice, for wide and narrow pages: text that shrinks with its picture cannot be read.
import { BarChart, LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { cut } from '../core/text.ts'
import type { Chart } from './document.ts'

use([BarChart, LineChart, GridComponent, LegendComponent, SVGRenderer])

/** Stand-ins that occur nowhere else, and the page's variables. */
const COLOURS = { '#010203': '--moving', '#010204': '--stalled', '#010205': '--text', '#010206': '--rule' } as const
const [MOVING, STALLED, TEXT, RULE] = ['#010203', '#010204', '#010205', '#010206']

export const WIDE = 720
export const NARROW = 340

/** `label`: what a screen reader says. Safe to put into a page as it is. */
export function toSvg(chart: Chart, width: number): string {
  const narrow = width === NARROW
  const height = chart.kind === 'bars' ? 70 + 26 * chart.labels.length : 260
  const drawing = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    drawing.setOption(optionOf(chart, narrow))
    const drawn = drawing.renderToSVGString()
    return (
      Object.entries(COLOURS)
        .reduce((svg, [colour, name]) => svg.replaceAll(colour, `var(${name})`), drawn)
        .replace(/<style[\s\S]*?<\/style>/g, '')
        .replace(
          / (?:class="zr[^"]*"|ecmeta_[^=]*="[^"]*"|style="[^"]*"|pointer-events="[^"]*"|xmlns:xlink="[^"]*"|baseProfile="[^"]*")/g,
          '',
        )
        // Its place gives it its size.
        .replace(/^<svg width="\d+" height="\d+"/, '<svg aria-hidden="true"')
    )
  } finally {
    // A chart that is not disposed of keeps the process alive.
    drawing.dispose()
  }
}

const FIT = { outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' }

function optionOf({ kind, labels, series, unit }: Chart, narrow: boolean): EChartsCoreOption {
  const text = { color: TEXT, fontSize: 12 }
  const line = { lineStyle: { color: RULE } }
  const values = {
    type: 'value',
    axisLabel: { ...text, formatter: unit },
    splitLine: line,
    splitNumber: narrow ? 2 : 4,
  }
  const bars = kind === 'bars'
  const longest = narrow ? 14 : 28
  const shown = bars ? labels.map((label) => cut(label, longest)) : labels
  // Without a browser nobody can measure text: wide enough for most letters.
  const left = bars ? 16 + 7.5 * Math.max(...shown.map(({ length }) => length)) : 4
  const names = {
    type: 'category',
    data: shown,
    axisLabel: { ...text, hideOverlap: true, interval: bars ? 0 : 'auto' },
    axisLine: line,
    axisTick: { show: false },
    inverse: bars,
    boundaryGap: kind !== 'area',
  }
  return {
    animation: false,
    color: [MOVING, STALLED],
    textStyle: { fontFamily: 'inherit' },
    legend: {
      icon: 'roundRect',
      itemGap: 28,
      top: 0,
      left: 0,
      itemWidth: 14,
      itemHeight: 10,
      textStyle: text,
      selectedMode: false,
    },
    grid: { top: 40, bottom: bars ? 24 : 8, left, right: 24, ...(bars ? { outerBoundsMode: 'none' } : FIT) },
    ...(bars ? { xAxis: values, yAxis: names } : { xAxis: names, yAxis: values }),
    series: series.map(({ name, values }) => ({
      ...{ name, type: kind === 'area' ? 'line' : 'bar', stack: 'all', data: values, silent: true },
      ...(kind === 'area'
        ? { areaStyle: { opacity: 0.75 }, lineStyle: { width: 1 }, showSymbol: false }
        : { barMaxWidth: 22 }),
    })),
  }
}
